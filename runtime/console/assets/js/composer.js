// Where a message is composed: by a form, or as JSON.
import { el } from "./dom.js";
import { choice } from "./actions.js";
import { JSONText, messageEditor } from "./form.js";

// composer returns what composes messages of a type: its element, and value(), which
// throws where what is typed in is no message.
export function composer(type, catalogue) {
  const fields = messageEditor(type, catalogue);
  const text = new JSONText("{}");
  text.element.rows = 8;
  text.element.hidden = true;
  const byForm = el("div", {}, fields.single ? el("label", { class: "field" }, el("span", { class: "head" }, "value"), fields.element) : fields.element);
  let asJSON = false;
  const tabs = choice("Message", [["Form", false], ["JSON", true]], (json) => {
    if (json) {
      text.element.value = JSON.stringify(fields.value() ?? {}, null, 2);
    }
    asJSON = json;
    text.element.hidden = !json;
    byForm.hidden = json;
  });
  const comment = catalogue.messages[type]?.comment.trim();
  return {
    element: el("div", { class: "composer" }, el("div", { class: "tools" }, tabs, el("code", { class: "muted" }, type)),
      comment ? el("p", { class: "comment" }, comment) : null, byForm, text.element),
    value: () => (asJSON ? text : fields).value() ?? {},
  };
}
