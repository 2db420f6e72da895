// The frame: which page is shown, and the live state that it is shown.
import { el, setText } from "./dom.js";
import * as api from "./api.js";
import { Live } from "./live.js";
import { overview } from "./overview.js";
import { clients } from "./clients.js";
import { actions } from "./actions.js";
import { failures } from "./failures.js";
import { call, push } from "./call.js";

const pages = {
  overview: { title: "Overview", make: overview },
  clients: { title: "Clients", make: clients },
  actions: { title: "Actions", make: actions },
  failures: { title: "Failures", make: failures },
  call: { title: "Call", make: call },
  push: { title: "Push", make: push },
};

const main = document.getElementById("main");
const status = document.getElementById("status");
const user = document.getElementById("user");
const links = Object.entries(pages).map(([name, { title }]) => el("a", { href: `#${name}` }, title));
document.getElementById("nav").append(...links);

let shown = null; // the page, once there is something to show
let catalogue = null;

const live = new Live(update);

function update() {
  showStatus();
  if (live.now && catalogue) {
    shown ?? show();
    shown.update(live);
  }
}

function showStatus() {
  const troubled = live.now?.health.find((one) => one.problem !== "");
  const text = live.problem ? "not reached" : !live.now ? "connecting" : troubled ? "not ready" : "ready";
  setText(status, text);
  status.classList.toggle("good", text === "ready");
  status.classList.toggle("bad", text === "not ready" || text === "not reached");
  status.title = live.problem?.message ?? troubled?.problem ?? "";
  setText(user, live.now?.user.name ?? "");
}

// show makes the page that the address names.
function show() {
  const [name, parameters] = location.hash.slice(1).split("?");
  const current = pages[name] ? name : "overview";
  shown?.leave?.();
  shown = pages[current].make(live, catalogue, new URLSearchParams(parameters));
  main.replaceChildren(shown.element);
  document.title = `${pages[current].title} · packetrpc console`;
  links.forEach((link, i) => {
    if (Object.keys(pages)[i] === current) {
      link.setAttribute("aria-current", "page");
    } else {
      link.removeAttribute("aria-current");
    }
  });
}

addEventListener("hashchange", () => {
  if (shown) {
    show();
    shown.update(live);
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
});

// load asks for what does not change until it is there.
async function load() {
  try {
    catalogue = await api.catalogue();
    update();
  } catch {
    setTimeout(load, 1000); // the state's problem is shown meanwhile
  }
}

load();
live.refresh();
