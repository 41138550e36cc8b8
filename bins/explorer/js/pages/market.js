// A class's book: depth, levels, open orders, trades as they happen.

import { get, onBlock } from "../api.js";
import { depth } from "../chart.js";
import { h, link, panel, table } from "../dom.js";
import { account, block, count, deal, order, short, tagged, tokens } from "../format.js";
import { orderLife, sideName } from "../names.js";
import { t } from "../words.js";

const DEFAULT = "giga-fuel/wasm";
const TRADES = 30;

const levels = (book, side) => table(
  [[t("order.price"), true], [t("order.units"), true], [t("market.orders"), true]],
  book[side].map((level) => [h("span", { class: side === "asks" ? "ask" : "bid" }, tokens(level.price)), count(level.units), count(level.orders)]),
  t(`market.no_${side}`));

export default async function market(place, name) {
  const here = name || DEFAULT;
  const [classes, trades] = await Promise.all([get("classes"), get(`trades/${here}?limit=${TRADES}`)]);
  const books = h("div");
  const open = h("div");
  const tape = h("tbody");
  const row = (trade) => h("tr", {},
    h("td", { class: "n" }, block(trade.height)), h("td", { class: "n" }, tokens(trade.price)), h("td", { class: "n" }, count(trade.units)), h("td", {}, deal(trade.deal)), h("td", {}, account(trade.provider)), h("td", {}, account(trade.renter)));
  tape.append(...trades.trades.map(row));
  const refresh = async () => {
    const [book, orders] = await Promise.all([get(`book/${here}`), get(`orders?state=open&class=${here}&limit=100`)]);
    if (!place.isHere()) return;
    const drawn = depth(book, t("market.depth"));
    books.replaceChildren(...[
      drawn && panel(t("market.depth"), drawn),
      h("div", { class: "two" }, panel(h("span", { class: "ask" }, t("market.asks")), levels(book, "asks")), panel(h("span", { class: "bid" }, t("market.bids")), levels(book, "bids"))),
    ].filter(Boolean));
    open.replaceChildren(table(
      [[t("order.id"), true], [t("order.side")], [t("order.owner")], [t("order.price"), true], [t("order.open"), true], [t("order.state")], [t("market.hint")]],
      orders.orders.map((one) => {
        const [side, terms] = tagged(one.terms);
        const why = side === "bid" && link(`orders/${one.id}`, t("market.why"));
        return [order(one.id), h("span", { class: side }, sideName(side)), account(one.owner), tokens(terms.price ?? terms.price_max), count(one.open), orderLife(one), why || "–"];
      }), t("market.no_orders")));
  };
  await refresh();
  let waiting = false;
  place.live(onBlock((happened) => {
    const fills = happened.events.map(({ event }) => event.market?.filled).filter(Boolean);
    tape.prepend(...fills.map((fill) => row({ ...fill, height: happened.height })));
    while (tape.children.length > TRADES) tape.lastChild.remove();
    if (waiting || !happened.events.some(({ event }) => event.market)) return;
    waiting = true;
    setTimeout(() => { waiting = false; if (place.isHere()) refresh().catch(() => {}); }, 250);
  }));
  const head = [[t("tx.block"), true], [t("order.price"), true], [t("order.units"), true], [t("deal.id")], [t("role.provider")], [t("role.renter")]];
  return [
    t("market.title", { name: here }),
    h("p", { class: "lead" }, t("market.lead")),
    h("div", { class: "row" }, classes.classes.map((one) => h("a", { href: `#/market/${one}`, class: one === here ? "tag" : "tag quiet", "aria-current": one === here ? "true" : null }, short(one)))),
    books,
    panel(t("market.trades"), h("table", {}, h("thead", {}, h("tr", {}, head.map(([title, number]) => h("th", { scope: "col", class: number ? "n" : null }, title)))), tape)),
    panel(t("market.open"), open),
  ];
}
