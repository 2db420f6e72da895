// What comes of a call: its replies, its end, and its packets.
import { el, card, setText } from "./dom.js";
import { bytes, millis, plural } from "./format.js";
import * as api from "./api.js";

const maxReplies = 500;

export class Results {
  running = false;
  id = null; // of a stream that more messages can be sent on
  #abort = null;
  #end = el("p", { class: "end", role: "status" }, "Nothing has been called yet.");
  #more = el("div");
  #replies = el("ol", { class: "plain replies" });
  #packets = el("ol", { class: "plain packets" });
  #count = 0;

  constructor() {
    this.element = el("div", { class: "results" },
      card("Result", this.#end, this.#replies, this.#more),
      card("Packets", el("p", { class: "muted" }, "As they went over the wire, and the same in the other form. Tokens are masked."), this.#packets));
  }

  // run makes a call and shows what comes of it. changed is called when it can be sent to,
  // and when it has ended.
  async run(request, changed) {
    this.cancel();
    const abort = (this.#abort = new AbortController());
    this.running = true;
    this.#count = 0;
    for (const part of [this.#replies, this.#packets, this.#more]) {
      part.replaceChildren();
    }
    this.#showEnd("", "under way");
    changed();
    try {
      for await (const event of api.call(request, abort.signal)) {
        this.#show(event);
        changed();
      }
    } catch (failure) {
      if (failure.name !== "AbortError") {
        throw failure;
      }
      this.#showEnd("bad", "canceled", "by you");
    } finally {
      if (this.#abort === abort) {
        this.running = false;
        this.id = null;
        if (this.#end.textContent === "under way") {
          this.#showEnd("bad", "not called");
        }
      }
    }
  }

  cancel() {
    this.#abort?.abort();
    this.id = null;
  }

  // leave ends what is under way when the page goes away.
  leave() {
    this.cancel();
  }

  #show(event) {
    if (event.call) {
      this.id = event.call;
    } else if (event.packet) {
      this.#packets.append(packetItem(event.packet));
    } else if (event.end) {
      this.#showOutcome(event.end);
    } else if (++this.#count <= maxReplies) {
      this.#replies.append(el("li", {}, el("pre", { tabindex: "0" }, JSON.stringify(event.message, null, 2))));
    }
  }

  #showOutcome(end) {
    const replies = this.#count === 0 ? "" : `, ${plural(this.#count, "reply", "replies")}`;
    const hidden = this.#count > maxReplies ? `, of which the first ${maxReplies} are shown` : "";
    if (end.code === "") {
      this.#showEnd("good", "ok", `${millis(end.millis)}${replies}${hidden}`);
    } else {
      this.#showEnd("bad", end.code, `${end.message} (${end.outcome}, ${millis(end.millis)}${replies})`);
    }
    this.#more.replaceChildren(...[
      end.details.map((detail) => el("pre", { tabindex: "0" }, JSON.stringify(detail, null, 2))),
      end.metadata.map(([key, value]) => el("p", {}, el("span", { class: "muted" }, "metadata "), el("code", {}, `${key}: ${value}`))),
    ].flat());
  }

  #showEnd(kind, code, text = "") {
    this.#end.replaceChildren(el("span", { class: `pill ${kind}` }, code), ...(text ? [" ", el("span", {}, text)] : []));
  }
}

// packetItem shows a packet in both forms.
function packetItem(packet) {
  if (packet.omitted) {
    return el("li", { class: "muted" }, `Further packets ${packet.sent ? "to" : "from"} the server are not shown.`);
  }
  const way = packet.sent ? "→ to the server" : "← from the server";
  const title = `${way}: ${packet.kind}, ${bytes(packet.size)} of ${packet.form === "json" ? "JSON" : "the binary form"}`;
  return el("li", {}, el("details", { open: true }, el("summary", {}, title),
    el("div", { class: "forms" },
      el("div", {}, el("h3", {}, heading("JSON", packet.form === "json")), el("pre", { tabindex: "0" }, packet.json)),
      el("div", {}, el("h3", {}, heading("Binary", packet.form === "binary")), binary(packet)))));
}

const heading = (form, wire) => `${form}${wire ? ", as on the wire" : ""}`;

function binary(packet) {
  if (packet.binary === null) {
    return el("p", { class: "muted" }, "The message's type is not linked into the program, so that there is no telling.");
  }
  const rows = packet.binary.map((row) => {
    const field = el("td", { class: "field" }, row.field);
    field.style.paddingLeft = `${0.5 + row.depth * 0.9}rem`;
    return el("tr", {}, el("td", { class: "offset" }, row.offset.toString(16).padStart(4, "0")), field, el("td", { class: "value" }, row.value), el("td", { class: "hex" }, row.hex));
  });
  return el("div", { class: "dump", tabindex: "0" }, el("table", {}, el("tbody", {}, rows)));
}
