// The frame: language, routes, search, the light that shows whether the stream is open.

import { ApiError, get, listen, onState } from "./api.js";
import { h } from "./dom.js";
import { choose, current, nameOf, other, preferred, t } from "./words.js";
import account from "./pages/account.js";
import api from "./pages/api.js";
import audit from "./pages/audit.js";
import { list as blocks, one as block } from "./pages/blocks.js";
import deal from "./pages/deal.js";
import { list as jobs, one as job } from "./pages/jobs.js";
import market from "./pages/market.js";
import order from "./pages/order.js";
import overview from "./pages/overview.js";
import people from "./pages/people.js";
import providers from "./pages/providers.js";
import transaction from "./pages/transaction.js";
import validators from "./pages/validators.js";

// A page is `async (place, ...parts) => [title, ...elements]`; `place.live(what)` runs until the page is left.
const ROUTES = [
  [/^$/, overview],
  [/^blocks$/, blocks],
  [/^blocks\/(\d+)$/, block],
  [/^tx\/([0-9a-f]{64})$/, transaction],
  [/^accounts\/(gs1[a-z0-9]+)$/, account],
  [/^market(?:\/(.+))?$/, market],
  [/^orders\/(\d+)$/, order],
  [/^jobs$/, jobs],
  [/^jobs\/(\d+)$/, job],
  [/^deals\/(\d+)$/, deal],
  [/^providers$/, providers],
  [/^people$/, people],
  [/^validators$/, validators],
  [/^audit$/, audit],
  [/^api$/, api],
];
const NAV = ["", "blocks", "market", "jobs", "providers", "people", "validators", "audit", "api"];

const main = document.getElementById("main");
let leave = [];
let shown = 0;

const path = () => decodeURIComponent(location.hash.replace(/^#\/?/, ""));

async function show() {
  const turn = ++shown;
  leave.forEach((end) => end());
  leave = [];
  const here = path();
  navigation(here);
  const found = ROUTES.map(([pattern, page]) => [pattern.exec(here), page]).find(([match]) => match);
  const place = {
    /** Keeps what ends something until the page is left. */
    live(end) { if (turn === shown) leave.push(end); else end(); },
    isHere: () => turn === shown,
  };
  try {
    const [title, ...elements] = found ? await found[1](place, ...found[0].slice(1)) : missing(here);
    if (turn !== shown) return;
    document.title = `${title} · Gongsuan 共算`;
    main.replaceChildren(h("h1", {}, title), ...elements.flat(Infinity).filter(Boolean));
  } catch (error) {
    if (turn === shown) main.replaceChildren(...failure(error));
  }
}

const missing = (here) => [t("missing.title"), h("p", { class: "lead" }, t("missing.text", { path: here }))];

function failure(error) {
  const body = error instanceof ApiError ? error.body : {};
  const said = [
    h("h2", {}, error.status === 404 ? t("error.missing") : t("error.title")),
    h("p", {}, error.message),
    body.field && h("p", { class: "soft" }, t("error.detail", { field: body.field, limit: body.limit, got: body.got })),
    h("button", { type: "button", onclick: show }, t("error.again")),
  ];
  return [h("section", { class: "panel error", role: "alert" }, said.filter(Boolean))];
}

function navigation(here) {
  const first = here.split("/")[0];
  const of = { tx: "blocks", accounts: "people", orders: "market", deals: "jobs" }[first] ?? first;
  const items = NAV.map((name) => h("a", { href: `#/${name}`, "aria-current": name === of ? "page" : null }, t(`nav.${name || "overview"}`)));
  document.getElementById("nav").replaceChildren(...items);
}

function frame() {
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", t(element.dataset.tLabel));
  for (const element of document.querySelectorAll("[data-t-hint]")) element.setAttribute("placeholder", t(element.dataset.tHint));
  const button = document.getElementById("language");
  button.textContent = nameOf(other());
  button.lang = other();
  light(isOpen);
  get("status").then((status) => {
    document.getElementById("foot").textContent = t("foot", { name: status.name, chain: status.chain_id });
  }).catch(() => {});
}

let isOpen = false;
function light(open) {
  isOpen = open;
  const live = document.getElementById("live");
  live.classList.toggle("on", open);
  live.textContent = t(open ? "live.on" : "live.off");
}

/** Where a search leads: a height, an id, an address, `order 4`, `deal 2`, `job 4`. */
function target(query) {
  const text = query.trim().toLowerCase();
  const numbered = /^(order|deal|job|block|订单|成交|作业|区块)\s*#?(\d+)$/.exec(text);
  const rooms = { order: "orders", 订单: "orders", deal: "deals", 成交: "deals", job: "jobs", 作业: "jobs", block: "blocks", 区块: "blocks" };
  if (numbered) return `${rooms[numbered[1]]}/${numbered[2]}`;
  if (/^\d+$/.test(text)) return `blocks/${text}`;
  if (/^[0-9a-f]{64}$/.test(text)) return `tx/${text}`;
  if (/^gs1[a-z0-9]+$/.test(text)) return `accounts/${text}`;
  return text;
}

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = document.getElementById("query");
  if (query.value.trim()) location.hash = `#/${target(query.value)}`;
  query.value = "";
});
document.getElementById("language").addEventListener("click", async () => {
  await choose(other());
  frame();
  show();
});
window.addEventListener("hashchange", () => { show().then(() => main.focus({ preventScroll: true })); scrollTo(0, 0); });

await choose(preferred());
frame();
onState(light);
listen();
show();
export { current };
