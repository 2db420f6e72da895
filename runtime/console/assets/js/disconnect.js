// Asks whether a client is to be disconnected, and does it.
import { el } from "./dom.js";
import * as api from "./api.js";

export function disconnect(client, live) {
  const reason = el("input", { type: "text", placeholder: "for the client to read" });
  const problem = el("p", { class: "problem", role: "alert" });
  const really = el("button", { class: "button danger primary", type: "submit" }, "Disconnect");
  const form = el("form", { method: "dialog" },
    el("h2", {}, `Disconnect ${client.name || "this client"}?`),
    el("p", {}, "Its session ", el("code", {}, client.id), " ends. It may connect again, to another one."),
    el("label", {}, el("span", {}, "Reason"), reason),
    problem,
    el("div", { class: "tools end" }, el("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Keep"), really));
  const dialog = el("dialog", { onclose: () => dialog.remove() }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    really.disabled = true;
    problem.textContent = "";
    try {
      await calledWell({ action: "CoreDisconnect", messages: [{ id: client.id, reason: reason.value }] });
      dialog.close();
      live.refresh();
    } catch (failure) {
      problem.textContent = failure.message;
      really.disabled = false;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}

// calledWell makes a call and throws why it has failed.
async function calledWell(request) {
  for await (const event of api.call(request)) {
    if (event.end?.code) {
      throw new Error(`${event.end.code}: ${event.end.message}`);
    }
  }
}
