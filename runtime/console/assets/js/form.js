// A form for a message, made from its descriptor. Each editor has an element and value(),
// which is the message's protojson value, or undefined where nothing is set.
import { el } from "./dom.js";

// messageEditor returns the editor of a message by its full name.
export function messageEditor(name, catalogue) {
  return known[name]?.() ?? new Fields(catalogue.messages[name], catalogue);
}

// Fields is the editor of a message that is not one of the well-known ones.
class Fields {
  #editors = []; // [JSON key, editor]

  constructor(message, catalogue) {
    this.element = el("div", { class: "fields" });
    if (message.fields.length === 0) {
      this.element.append(el("p", { class: "muted" }, "The message has no fields."));
    }
    const oneofs = new Map();
    for (const field of message.fields) {
      if (field.oneof === "") {
        this.#add(field, fieldEditor(field, catalogue));
      } else if (oneofs.has(field.oneof)) {
        oneofs.get(field.oneof).add(field);
      } else {
        const oneof = new Oneof(field, catalogue);
        oneofs.set(field.oneof, oneof);
        this.#editors.push([null, oneof]);
        this.element.append(oneof.element);
      }
    }
  }

  #add(field, editor) {
    this.#editors.push([field.json, editor]);
    this.element.append(labelled(field, editor));
  }

  value() {
    const value = {};
    for (const [key, editor] of this.#editors) {
      const part = editor.value();
      if (key === null) {
        Object.assign(value, part);
      } else if (part !== undefined) {
        value[key] = part;
      }
    }
    return value;
  }
}

// labelled puts an editor behind the name and the comment of its field.
function labelled(field, editor) {
  const head = [el("span", { class: "name" }, field.name), " ", el("span", { class: "kind" }, kindOf(field))];
  const comment = field.comment ? el("span", { class: "comment" }, field.comment.trim()) : null;
  return editor.single
    ? el("label", { class: "field" }, el("span", { class: "head" }, head), editor.element, comment)
    : el("fieldset", { class: "field" }, el("legend", { class: "head" }, head), comment, editor.element);
}

function kindOf(field) {
  const kind = field.of || field.kind;
  const notes = (field.required ? ", required" : "") + (field.deprecated ? ", deprecated" : "");
  if (field.key) return `map of ${field.key} to ${kind}${notes}`;
  return (field.repeated ? `repeated ${kind}` : kind) + notes;
}

function fieldEditor(field, catalogue) {
  if (field.key) return new Pairs(field, catalogue);
  if (field.repeated) return new List(field, catalogue);
  if (field.kind === "message" && !known[field.of]) return new Nested(field, catalogue);
  if (field.optional && field.kind !== "enum") return new Optional(field, catalogue);
  return valueEditor(field, catalogue);
}

// valueEditor returns the editor of one value of a field. It has one even where nothing is
// typed in if there must be one, as in a list.
function valueEditor(field, catalogue, must = false) {
  if (field.kind === "message") return messageEditor(field.of, catalogue);
  if (field.kind === "enum") return enumEditor(catalogue.enums[field.of].values, must);
  return scalarEditor(field.kind, must);
}

const ranges = {
  int32: [-(2 ** 31), 2 ** 31 - 1], sint32: [-(2 ** 31), 2 ** 31 - 1], sfixed32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1], fixed32: [0, 2 ** 32 - 1],
};
const unsigned = ["uint64", "fixed64"];
const signed = ["int64", "sint64", "sfixed64"];

function scalarEditor(kind, must) {
  if (kind === "bool") {
    const box = el("input", { type: "checkbox" });
    return { single: true, element: box, value: () => (box.checked || must ? box.checked : undefined) };
  }
  if (kind === "string" || kind === "bytes") {
    const text = el("textarea", { rows: 1, spellcheck: "false", placeholder: kind === "bytes" ? "base64" : undefined });
    return { single: true, element: text, value: () => (text.value !== "" || must ? text.value : undefined) };
  }
  const attributes = { autocomplete: "off" };
  if (ranges[kind]) {
    Object.assign(attributes, { type: "number", step: "1", min: ranges[kind][0], max: ranges[kind][1] });
  } else if (unsigned.includes(kind) || signed.includes(kind)) { // more digits than a number of JavaScript has
    Object.assign(attributes, { type: "text", inputmode: "numeric", pattern: signed.includes(kind) ? "-?[0-9]+" : "[0-9]+", title: "a whole number" });
  } else {
    Object.assign(attributes, { type: "text", inputmode: "decimal", pattern: "-?[0-9]*\\.?[0-9]+([eE][\\-+]?[0-9]+)?|NaN|-?Infinity", title: "a number, NaN or Infinity" });
  }
  const input = el("input", attributes);
  const text = () => (input.value === "" && must ? "0" : input.value.trim());
  return { single: true, element: input, value: () => (text() === "" ? undefined : numberOf(kind, text())) };
}

const numberOf = (kind, text) => (ranges[kind] || (/^(float|double)$/.test(kind) && Number.isFinite(Number(text))) ? Number(text) : text);

function enumEditor(values, must) {
  const select = el("select", {},
    must ? null : el("option", { value: "" }, "(not set)"),
    values.map(({ name }) => el("option", { value: name }, name)));
  return { single: true, element: select, value: () => select.value || undefined };
}

// Optional is the editor of a scalar that may be unset or set, to its zero value as well.
class Optional {
  constructor(field, catalogue) {
    this.editor = valueEditor(field, catalogue, field.kind !== "message");
    this.box = el("input", { type: "checkbox", "aria-label": `set ${field.name}` });
    this.editor.element.addEventListener("input", () => (this.box.checked = true));
    this.element = el("div", { class: "optional" }, el("label", {}, this.box, " set"), this.editor.element);
    this.editor.element.setAttribute("aria-label", field.name);
  }

  value() {
    return this.box.checked ? this.editor.value() : undefined;
  }
}

// Nested is the editor of a message in a message. It is made when it is asked for, since a
// message may be in itself.
class Nested {
  #editor = null;

  constructor(field, catalogue) {
    this.element = el("div", { class: "nested" });
    const set = el("button", { type: "button", class: "button", onclick: () => {
      this.#editor = messageEditor(field.of, catalogue);
      this.element.replaceChildren(this.#editor.element, unset);
    } }, "Set");
    const unset = el("button", { type: "button", class: "button", onclick: () => {
      this.#editor = null;
      this.element.replaceChildren(set);
    } }, "Unset");
    this.element.append(set);
  }

  value() {
    return this.#editor?.value();
  }
}

// Oneof lets one of several fields be chosen.
class Oneof {
  #fields = new Map();
  #chosen = null;

  constructor(first, catalogue) {
    this.catalogue = catalogue;
    this.select = el("select", { "aria-label": `one of ${first.oneof}` }, el("option", { value: "" }, "(none)"));
    this.place = el("div");
    this.select.addEventListener("change", () => this.#choose(this.#fields.get(this.select.value)));
    this.element = el("fieldset", { class: "field" },
      el("legend", { class: "head" }, el("span", { class: "name" }, first.oneof), " ", el("span", { class: "kind" }, "one of")),
      this.select, this.place);
    this.add(first);
  }

  add(field) {
    this.#fields.set(field.name, field);
    this.select.append(el("option", { value: field.name }, field.name));
  }

  #choose(field) {
    this.#chosen = field ? { field, editor: valueEditor(field, this.catalogue, true) } : null;
    this.place.replaceChildren(...(field ? [labelled(field, this.#chosen.editor)] : []));
  }

  value() {
    return this.#chosen ? { [this.#chosen.field.json]: this.#chosen.editor.value() ?? null } : {};
  }
}

// Rows is what lists and maps have in common: rows that are added and removed.
class Rows {
  rows = [];

  constructor(add) {
    this.list = el("div", { class: "rows" });
    this.element = el("div", {}, this.list, el("button", { type: "button", class: "button", onclick: () => this.add() }, add));
  }

  add() {
    const row = this.make();
    row.element = el("div", { class: "row" }, row.parts, el("button", {
      type: "button", class: "button", "aria-label": "Remove", onclick: () => {
        row.element.remove();
        this.rows = this.rows.filter((other) => other !== row);
      },
    }, "×"));
    this.rows.push(row);
    this.list.append(row.element);
  }
}

class List extends Rows {
  constructor(field, catalogue) {
    super("Add");
    this.make = () => {
      const editor = valueEditor(field, catalogue, true);
      editor.element.setAttribute("aria-label", field.name);
      return { editor, parts: [editor.element] };
    };
  }

  value() {
    return this.rows.length === 0 ? undefined : this.rows.map((row) => row.editor.value() ?? null);
  }
}

class Pairs extends Rows {
  constructor(field, catalogue) {
    super("Add");
    this.make = () => {
      const key = field.key === "bool" ? enumEditor([{ name: "false" }, { name: "true" }], true) : scalarEditor(field.key, true);
      const editor = valueEditor(field, catalogue, true);
      key.element.setAttribute("aria-label", `key of ${field.name}`);
      editor.element.setAttribute("aria-label", `value of ${field.name}`);
      return { key, editor, parts: [key.element, editor.element] };
    };
  }

  value() {
    return this.rows.length === 0 ? undefined : Object.fromEntries(this.rows.map((row) => [row.key.value(), row.editor.value() ?? null]));
  }
}

// JSONText is the editor of what can be any JSON.
export class JSONText {
  constructor(placeholder = "JSON") {
    this.element = el("textarea", { class: "code", rows: 3, spellcheck: "false", placeholder, "aria-label": "JSON" });
    this.element.addEventListener("input", () => this.element.setCustomValidity(""));
  }

  // value returns what is typed in. What is not JSON is told at the text.
  value() {
    const text = this.element.value.trim();
    if (text === "") {
      return undefined;
    }
    try {
      return JSON.parse(text);
    } catch (problem) {
      this.element.setCustomValidity(problem.message);
      this.element.reportValidity();
      throw problem;
    }
  }
}

function textEditor(pattern, placeholder, title, finish = (text) => text) {
  const input = el("input", { type: "text", pattern, placeholder, title, autocomplete: "off" });
  return { single: true, element: input, value: () => (input.value === "" ? undefined : finish(input.value)) };
}

function timestamp() {
  const input = el("input", { type: "datetime-local", step: "0.001", title: "in the time zone of this browser" });
  return { single: true, element: input, value: () => (input.value === "" ? undefined : new Date(input.value).toISOString()) };
}

const wrapped = (kind) => () => scalarEditor(kind, false);

// known are the editors of well-known types, whose protojson is not an object of their
// fields.
const known = {
  "google.protobuf.Timestamp": timestamp,
  "google.protobuf.Duration": () => textEditor("-?[0-9]+(\\.[0-9]{1,9})?s?", "1.5s", "seconds, as in 1.5s", (text) => (text.endsWith("s") ? text : `${text}s`)),
  "google.protobuf.FieldMask": () => textEditor("[a-zA-Z0-9.,]+", "name,address.city", "paths, with commas between them"),
  "google.protobuf.Struct": () => new JSONText('{"key": "value"}'),
  "google.protobuf.Value": () => new JSONText("any JSON"),
  "google.protobuf.ListValue": () => new JSONText("[1, 2]"),
  "google.protobuf.Any": () => new JSONText('{"@type": "type.googleapis.com/…", …}'),
  "google.protobuf.BoolValue": () => {
    const select = enumEditor([{ name: "false" }, { name: "true" }], false);
    return { single: true, element: select.element, value: () => (select.value() === undefined ? undefined : select.value() === "true") };
  },
  "google.protobuf.StringValue": wrapped("string"),
  "google.protobuf.BytesValue": wrapped("bytes"),
  "google.protobuf.Int32Value": wrapped("int32"),
  "google.protobuf.UInt32Value": wrapped("uint32"),
  "google.protobuf.Int64Value": wrapped("int64"),
  "google.protobuf.UInt64Value": wrapped("uint64"),
  "google.protobuf.FloatValue": wrapped("float"),
  "google.protobuf.DoubleValue": wrapped("double"),
};
