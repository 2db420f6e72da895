// Calls: of an action, or of the Core actions that push one to clients.
import { el, card, setText } from "./dom.js";
import * as api from "./api.js";
import { coreLast } from "./actions.js";
import { composer } from "./composer.js";
import { Results } from "./results.js";

// call is the page on which an action is called.
export function call(live, catalogue, parameters) {
  const action = catalogue.actions.find((one) => one.name === parameters.get("action")) ?? firstOf(catalogue.actions);
  const pick = picker("Action", catalogue.actions, action, (name) => `#call?action=${encodeURIComponent(name)}`);
  const results = new Results();
  const desk = callDesk(action, catalogue, results, (message) => ({ action: action.name, messages: [message] }));
  return { element: el("div", { class: "desk" }, card("Call", pick, about(action), desk), results.element), update() {}, leave: () => results.leave() };
}

// push is the page on which an action is pushed to a client, a group or everybody.
export function push(live, catalogue, parameters) {
  if (catalogue.pushes.length === 0) {
    return { element: card("Push", el("p", {}, "The services of this server declare no one-way action that could be pushed.")), update() {} };
  }
  const action = catalogue.pushes.find((one) => one.name === parameters.get("action")) ?? catalogue.pushes[0];
  const client = parameters.get("client");
  const group = parameters.get("group");
  const to = new URLSearchParams(client ? { client } : group ? { group } : {});
  const pick = picker("Action", catalogue.pushes, action, (name) => `#push?${new URLSearchParams({ ...Object.fromEntries(to), action: name })}`);
  const receiver = client ? ["Client ", el("code", {}, client)] : group ? ["Group ", el("code", {}, group)] : ["All clients"];
  const results = new Results();
  const desk = callDesk({ name: action.name, type: "unary", request: action.request }, catalogue, results, (message) => {
    const what = { action: action.name, data: message };
    return client
      ? { action: "CoreSend", messages: [{ id: client, push: what }] }
      : { action: "CoreBroadcast", messages: [{ group: group ?? "", push: what }] };
  });
  return {
    element: el("div", { class: "desk" }, card("Push", el("p", {}, "To: ", receiver), pick, about(action), desk), results.element),
    update() {},
    leave: () => results.leave(),
  };
}

const firstOf = (actions) => actions.find((one) => !one.name.startsWith("Core")) ?? actions[0];

// picker goes to another action's page.
function picker(label, actions, chosen, addressOf) {
  const select = el("select", { onchange: () => (location.hash = addressOf(select.value)) },
    actions.map(({ name }) => name).sort(coreLast).map((name) => el("option", { value: name, selected: name === chosen.name }, name)));
  return el("label", { class: "field" }, el("span", { class: "head" }, label), select);
}

function about(action) {
  const notes = [action.type, action.requires && `requires ${action.requires}`, action.sealed && "sealed", action.deprecated && "deprecated"].filter(Boolean);
  return el("div", {}, el("p", {}, notes.map((note) => [el("span", { class: "pill" }, note), " "])),
    action.comment ? el("p", { class: "comment" }, action.comment.trim()) : null);
}

const streamsRequests = (type) => type === "client-stream" || type === "bidi-stream";

// callDesk is the form that a call is made with. requestOf makes the request of a message.
function callDesk(action, catalogue, results, requestOf) {
  const message = composer(action.request, catalogue);
  const options = callOptions();
  const problem = el("p", { class: "problem", role: "alert" });
  const streams = streamsRequests(action.type);
  const make = el("button", { class: "button primary", type: "submit" }, streams ? "Open the stream" : "Call");
  const send = el("button", { class: "button", type: "button" }, "Send the message");
  const finish = el("button", { class: "button", type: "button" }, "Half-close");
  const cancel = el("button", { class: "button", type: "button", onclick: () => results.cancel() }, "Cancel");
  const showState = () => {
    make.disabled = results.running;
    cancel.disabled = !results.running;
    send.disabled = finish.disabled = !results.id;
  };
  const form = el("form", {},
    message.element, options.element, problem,
    el("div", { class: "tools" }, make, streams ? [send, finish] : null, cancel));
  const attempt = async (work) => {
    setText(problem, "");
    try {
      await work();
    } catch (failure) {
      setText(problem, failure.message);
    }
    showState();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      const request = streams ? { action: action.name, messages: [], open: true } : requestOf(message.value());
      await results.run({ ...request, ...options.value() }, showState);
    });
  });
  send.addEventListener("click", () => attempt(async () => {
    if (form.reportValidity()) {
      await api.sendMore(results.id, [message.value()]);
    }
  }));
  finish.addEventListener("click", () => attempt(() => api.halfClose(results.id)));
  showState();
  return form;
}

// callOptions are what a call has beside its message.
function callOptions() {
  const deadline = el("input", { type: "number", min: 0, step: "any", placeholder: "none" });
  const form = el("select", {}, el("option", { value: "binary" }, "binary"), el("option", { value: "json" }, "JSON"));
  const metadata = el("textarea", { rows: 2, spellcheck: "false", placeholder: "key: value" });
  return {
    element: el("details", { class: "options" }, el("summary", {}, "Metadata, deadline, form"),
      el("div", { class: "fields" },
        el("label", { class: "field" }, el("span", { class: "head" }, "Metadata, a line each"), metadata),
        el("label", { class: "field" }, el("span", { class: "head" }, "Deadline in seconds"), deadline),
        el("label", { class: "field" }, el("span", { class: "head" }, "Form on the wire"), form))),
    value: () => ({ timeout: Number(deadline.value), form: form.value, metadata: parseMetadata(metadata.value) }),
  };
}

function parseMetadata(text) {
  return text.split("\n").filter((line) => line.trim() !== "").map((line) => {
    const colon = line.indexOf(":");
    if (colon < 0) {
      throw new Error(`metadata ${JSON.stringify(line)} has no colon between the key and the value`);
    }
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  });
}
