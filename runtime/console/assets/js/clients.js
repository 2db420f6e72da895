// Who is connected.
import { el, card, cell, keyed, setText, table } from "./dom.js";
import { bytes, count, plural, since } from "./format.js";
import { disconnect } from "./disconnect.js";

export function clients(live) {
  const find = el("input", { type: "search", placeholder: "name, id, group, …", "aria-label": "Find by name, id, address, group or role", value: live.find });
  find.addEventListener("input", () => {
    live.find = find.value;
    live.refresh();
  });
  const note = el("p", { class: "muted" });
  const list = table([["Client"], ["Address"], ["Connection"], ["Since", "number"], ["Groups"], ["Received", "number"], ["Sent", "number"], ["Calls", "number"], ["", "actions"]], "Clients, the longest connected first");
  return {
    element: card("Clients",
      el("div", { class: "tools" },
        el("label", { class: "search" }, el("span", {}, "Find"), find),
        el("a", { class: "button", href: "#push" }, "Push to all…")),
      note, list.element),
    update({ now, time }) {
      keyed(list.body, now.clients, (one) => one.id, (one) => clientRow(one, live));
      list.element.hidden = now.clients.length === 0;
      const hidden = now.matching - now.clients.length;
      setText(note, `${plural(now.matching, "client", "clients")}${live.find ? " found" : ""}${hidden > 0 ? `, of which the first ${count(now.clients.length)} are shown` : ""}.`);
    },
  };
}

function clientRow(client, live) {
  const state = el("span", { class: "pill" });
  const roles = el("span", { class: "muted" });
  const address = cell("Address", "address");
  const connected = cell("Since", "number");
  const groups = cell("Groups");
  const received = cell("Received", "number");
  const sent = cell("Sent", "number");
  const calls = cell("Calls", "number");
  const connection = cell("Connection", "", el("span", {}, `${client.form}${client.encrypted ? ", encrypted" : ""} `), state);
  connected.title = client.connected;
  const element = el("tr", {},
    cell("Client", "", el("span", { class: "name" }, client.name || "(no name)"), " ", el("code", { class: "muted" }, client.id), " ", roles),
    address, connection, connected, groups, received, sent, calls,
    cell("", "actions",
      el("a", { class: "button", href: `#push?client=${encodeURIComponent(client.id)}`, "aria-label": `Push to ${client.name || client.id}` }, "Push…"),
      el("button", { class: "button danger", onclick: () => disconnect(client, live), "aria-label": `Disconnect ${client.name || client.id}` }, "Disconnect…")));
  return {
    element,
    update(now) {
      element.classList.toggle("away", now.away);
      setText(state, now.away ? "away" : "");
      state.hidden = !now.away;
      setText(roles, now.roles.join(", "));
      setText(address, now.address);
      setText(connected, since(now.connected, live.time));
      setText(groups, now.groups.join(", ") || "–");
      setText(received, bytes(now.received));
      setText(sent, bytes(now.sent));
      setText(calls, count(now.calls));
    },
  };
}
