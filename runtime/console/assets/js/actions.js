// What the server handles, and what it calls at clients: how often, how well, how fast.
import { el, card, cell, keyed, setText, table } from "./dom.js";
import { count, millis, rate } from "./format.js";
import { histogram } from "./chart.js";
import { seriesKey } from "./live.js";

const columns = [["Action"], ["Under way", "number"], ["Calls", "number"], ["Per s", "number"], ["Failed", "number"], ["p50", "number"], ["p95", "number"], ["p99", "number"], ["Durations"], ["", "actions"]];

export function actions(live, catalogue) {
  let recent = false;
  const incoming = table(columns, "Actions that clients call");
  const outgoing = table(columns, "Actions that the server calls at clients");
  const seen = el("span", { class: "muted" });
  const none = el("p", { class: "muted" }, "The server has called nothing at clients yet. Broadcasts are not calls and do not count.");
  const view = {
    element: el("div", {},
      el("div", { class: "tools" }, choice("Figures of", [["all calls", false], ["the last minute", true]], (value) => {
        recent = value;
        view.update(live);
      }), seen),
      card("Called by clients", incoming.element),
      card("Called at clients", outgoing.element, none)),
    update({ now }) {
      const known = new Map(catalogue.actions.map((action) => [action.name, action]));
      const handled = [...known.keys(), ...counted(now, false).filter((name) => !known.has(name))];
      const fill = (body, names, out) => keyed(body, names.map((name) => ({ name, out })), (one) => seriesKey(one.name, one.out),
        (one) => actionRow(one, known.get(one.name), (recently) => live.figures(one.name, one.out, recently, catalogue.bounds), () => recent));
      fill(incoming.body, handled.sort(coreLast), false);
      const called = counted(now, true);
      fill(outgoing.body, called, true);
      outgoing.element.hidden = called.length === 0;
      none.hidden = called.length > 0;
      setText(seen, recent && live.seconds < 60 ? `as far as this page has seen it: ${live.seconds} s` : "");
    },
  };
  return view;
}

const counted = (now, outgoing) => now.actions.filter((one) => one.outgoing === outgoing).map((one) => one.action);
const isCore = (name) => name.startsWith("Core");

// coreLast puts the actions that every server has behind its own.
export const coreLast = (a, b) => isCore(a) - isCore(b) || (a < b ? -1 : 1);

function actionRow({ name, out }, declared, figuresOf, isRecent) {
  const cells = Object.fromEntries(["Under way", "Calls", "Per s", "Failed", "p50", "p95", "p99"].map((label) => [label, cell(label, "number")]));
  const durations = histogram();
  const notes = declared && !out ? [declared.type, declared.requires && `requires ${declared.requires}`, declared.sealed && "sealed", declared.deprecated && "deprecated"].filter(Boolean).join(", ") : "";
  const call = declared && !out ? el("a", { class: "button", href: `#call?action=${encodeURIComponent(name)}`, "aria-label": `Call ${name}` }, "Call…") : null;
  return {
    element: el("tr", {}, cell("Action", "", el("code", { class: "name" }, name), " ", el("span", { class: "muted" }, notes)),
      Object.values(cells), cell("Durations", "", durations.element), cell("", "actions", call)),
    update() {
      const figures = figuresOf(isRecent());
      setText(cells["Under way"], count(figures.underWay));
      setText(cells.Calls, count(figures.calls));
      setText(cells["Per s"], rate(figures.rate));
      setText(cells.Failed, count(figures.failed));
      cells.Failed.classList.toggle("bad", figures.failed > 0);
      for (const [label, part] of [["p50", 0.5], ["p95", 0.95], ["p99", 0.99]]) {
        setText(cells[label], millis(figures.quantile(part)));
      }
      durations.update(figures);
    },
  };
}

// choice lets one of several values be chosen, the first one to begin with.
export function choice(legend, values, chosen) {
  const name = `choice-${legend}-${Math.random()}`;
  return el("fieldset", { class: "choice" }, el("legend", {}, legend),
    values.map(([text, value], i) => el("label", {}, el("input", { type: "radio", name, checked: i === 0, onchange: () => chosen(value) }), el("span", {}, text))));
}
