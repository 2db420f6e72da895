// The first page: how the server is.
import { el, card, cell, keyed, setText, table } from "./dom.js";
import { bytes, count, plural, rate } from "./format.js";
import { all } from "./live.js";
import { timeline } from "./chart.js";
import { failureRow, failureTable } from "./failures.js";

// tiles are the numbers that tell most: [name, value, what else].
const tiles = [
  ["Clients", ({ now }) => count(now.stats.Connections), ({ now }) => `${count(now.stats.Away)} away, ${count(now.stats.HalfOpen)} half-open`],
  ["Calls under way", ({ now }) => count(now.stats.Calls), () => "made by clients"],
  ["Calls", (live) => `${rate(live.rateOf((s) => all(s, "begun", false)))} /s`, (live) => `to clients ${rate(live.rateOf((s) => all(s, "begun", true)))} /s`],
  ["Failures", ({ now }) => count(failed(now)), (live) => `${count(live.grown((s) => all(s, "failed", false) + all(s, "failed", true)))} in the last minute`],
  ["Received", (live) => `${bytes(live.rateOf((s) => s.stats.Received))}/s`, ({ now }) => `${bytes(now.stats.Received)} in all`],
  ["Sent", (live) => `${bytes(live.rateOf((s) => s.stats.Sent))}/s`, ({ now }) => `${bytes(now.stats.Sent)} in all`],
  ["Memory", ({ now }) => bytes(Math.max(0, now.stats.Memory)), () => "held for clients"],
];

// counters are what the server has counted since it was started.
const counters = [
  ["Sessions begun", "Connected"],
  ["Sessions resumed", "Resumed"],
  ["Handshakes refused", "HandshakesRefused"],
  ["Calls refused for want of room", "CallsRefused"],
  ["Pushes refused", "PushesRefused"],
  ["Pushes dropped", "PushesDropped"],
  ["Slow clients disconnected", "SlowDisconnected"],
];

const recentFailures = 5;

const failed = (now) => now.actions.reduce((sum, action) => sum + action.failed, 0);

export function overview() {
  const numbers = tiles.map(([name]) => ({ name, value: el("dd", { class: "value" }), more: el("dd", { class: "muted" }) }));
  const strip = el("dl", { class: "tiles" }, numbers.map(({ name, value, more }) => el("div", { class: "card tile" }, el("dt", {}, name), value, more)));
  const chart = timeline();
  const health = el("ul", { class: "plain" });
  const groups = table([["Group"], ["Members", "number"], ["", "actions"]], "Groups");
  const groupsNote = el("p", { class: "muted" });
  const totals = counters.map(([name, field]) => ({ name, field, value: el("dd", {}) }));
  const failures = failureTable("Recent failures");
  const failuresNote = el("p", { class: "muted" });
  const element = el("div", {},
    strip,
    card("Calls by clients per second", chart.element),
    el("div", { class: "columns" },
      card("Health", health),
      card("Groups", groups.element, groupsNote),
      card("Since the server was started", el("dl", { class: "totals" }, totals.map(({ name, value }) => [el("dt", {}, name), value])))),
    card("Recent failures", failures.element, failuresNote));

  return {
    element,
    update(live) {
      const now = live.now;
      numbers.forEach(({ value, more }, i) => {
        setText(value, tiles[i][1](live));
        setText(more, tiles[i][2](live));
      });
      chart.update(live.perSecond((s) => all(s, "begun", false)), live.perSecond((s) => all(s, "failed", false)));
      keyed(health, now.health, (one) => one.service, healthItem);
      keyed(groups.body, now.groups, (one) => one.name, groupRow);
      groups.element.hidden = now.groups.length === 0;
      setText(groupsNote, groupsText(now));
      totals.forEach(({ field, value }) => setText(value, count(now.stats[field])));
      const recent = now.failures.slice(0, recentFailures);
      keyed(failures.body, recent, (one) => one.number, failureRow);
      failures.element.hidden = recent.length === 0;
      setText(failuresNote, recent.length === 0 ? "No call has failed." : "");
    },
  };
}

function groupsText(now) {
  if (now.inGroups === 0) return "No client is in a group.";
  const hidden = now.inGroups - now.groups.length;
  return hidden > 0 ? `And ${plural(hidden, "smaller one", "smaller ones")}.` : "";
}

function healthItem() {
  const name = el("span", { class: "name" });
  const dot = el("span", { class: "dot", "aria-hidden": "true" });
  const problem = el("span", { class: "muted" });
  return {
    element: el("li", { class: "health" }, dot, name, problem),
    update(one) {
      dot.classList.toggle("bad", one.problem !== "");
      setText(name, one.service);
      setText(problem, one.problem || "ready");
    },
  };
}

function groupRow(group) {
  const members = cell("Members", "number");
  const push = el("a", { class: "button", href: `#push?group=${encodeURIComponent(group.name)}` }, "Push…");
  return {
    element: el("tr", {}, cell("Group", "name", group.name), members, cell("", "actions", push)),
    update: (now) => setText(members, count(now.members)),
  };
}
