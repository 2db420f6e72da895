// Calls that have failed lately.
import { el, card, cell, keyed, setText, table } from "./dom.js";
import { clock, count } from "./format.js";

export const failureTable = (caption) => table([["Time"], ["Client"], ["Action"], ["Code"], ["Message"]], caption);

// failureRow is a failed call in such a table; it does not change.
export function failureRow(one) {
  const who = one.outgoing ? "called at " : "";
  return {
    element: el("tr", {},
      cell("Time", "numeric", el("time", { datetime: one.time, title: one.time }, clock(one.time))),
      cell("Client", "", el("span", {}, `${who}${one.name || "(no name)"} `), el("code", { class: "muted" }, one.client)),
      cell("Action", "", el("code", {}, one.action)),
      cell("Code", "", el("span", { class: "pill bad" }, one.code)),
      cell("Message", "message", one.message)),
    update() {},
  };
}

export function failures() {
  const list = failureTable("Failures, the last one first");
  const note = el("p", { class: "muted" });
  return {
    element: card("Failures", note, list.element),
    update({ now }) {
      keyed(list.body, now.failures, (one) => one.number, failureRow);
      list.element.hidden = now.failures.length === 0;
      const seen = now.failures[0]?.number ?? 0;
      setText(note, seen === 0
        ? "No call has failed."
        : `${count(seen)} in all, of which the last ${count(now.failures.length)} are shown.`);
    },
  };
}
