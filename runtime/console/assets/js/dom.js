// Elements without markup: whatever comes from the server becomes text.

// el makes an element. Functions among the attributes listen to the event that they are
// named after, as in {onclick: f}; true and false set and leave out an attribute.
export function el(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

// svg is el for what is inside of an <svg>.
export function svg(name, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value);
    } else if (typeof value === "boolean") {
      element.toggleAttribute(name, value);
    } else if (value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

// setText changes an element's text only if it is another one, so that what the user has
// selected stays selected.
export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

// keyed makes the children of a parent those of a list, one for each item. Children of
// items that stay are kept and updated, and with them the focus. make returns
// {element, update}.
export function keyed(parent, items, key, make) {
  const before = parent.keyedChildren ?? new Map();
  const after = new Map();
  let next = parent.firstChild;
  for (const item of items) {
    const id = key(item);
    const child = before.get(id) ?? make(item);
    before.delete(id);
    after.set(id, child);
    child.update(item);
    if (child.element === next) {
      next = next.nextSibling;
    } else {
      parent.insertBefore(child.element, next);
    }
  }
  for (const gone of before.values()) {
    gone.element.remove();
  }
  parent.keyedChildren = after;
}

// card is a part of a page with a heading.
export function card(title, ...children) {
  return el("section", { class: "card" }, el("h2", {}, title), ...children);
}

// table returns a table with a body to be filled. Columns are [title, class].
export function table(columns, caption) {
  const body = el("tbody");
  const heads = columns.map(([title, kind]) => el("th", { scope: "col", class: kind ?? "" }, title));
  const element = el("table", { class: "list" }, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads)), body);
  return { element, body };
}

// cell is a cell of a table. Where there is no room for the head its label is shown.
export function cell(label, kind = "", ...children) {
  return el("td", { class: kind, "data-label": label }, ...children);
}
