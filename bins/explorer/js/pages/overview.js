// What stands, and what happens right now.

import { get, onBlock } from "../api.js";
import { card, h, link, panel } from "../dom.js";
import { isMoney, isTold, line } from "../events.js";
import { ago, block, count, shortHash, tokens } from "../format.js";
import { t } from "../words.js";

const TILES = 14;
/** What a newcomer can paste: docs/quickstart.md says what each does. */
const START = `gongsuan cluster up
gongsuan account new me.json
gongsuan provider run --price 0.1 --key me.json
gongsuan job init --into picture
gongsuan job run picture/job.toml --key me.json
gongsuan audit supply`;
const LINES = 40;
/** Blocks of before whose events are shown until there are new ones. */
const PAST = 8;

/** The events of a block of before, as the stream tells those of new ones. */
const happened = (found) => [
  ...found.receipts.flatMap((receipt) => receipt.events.map((event) => ({ height: found.header.height, tx: receipt.id, event }))),
  ...found.events.map((event) => ({ height: found.header.height, tx: null, event })),
];

const told = (events) => events.filter((row) => !isMoney(row.event) && !isTold(row.event)).reverse().map(line);

const tile = (row) =>
  h("a", { href: `#/blocks/${row.height}`, class: "fresh" }, h("b", {}, count(row.height)), t("blocks.txs", { n: count(row.tx_count) }), h("br"), shortHash(row.hash));

export default async function overview(place) {
  const [status, recent, supply, orders, deals] = await Promise.all([
    get("status"), get(`blocks?limit=${TILES}`), get("supply"), get("orders?state=open&limit=1"), get("deals?state=open&limit=1"),
  ]);
  const numbers = h("div", { class: "cards" });
  const fill = (status, supply, orders, deals) => numbers.replaceChildren(
    card(block(status.height), t("overview.height")),
    card(status.time ? ago(status.time) : "–", t("overview.last")),
    card(`${status.leader} · ${count(status.term)}`, t("overview.leader")),
    card(`${count(status.peers.length + 1)}`, t("overview.connected")),
    card(count(status.pool), t("overview.pool")),
    card(count(orders.total), t("overview.orders")),
    card(count(deals.total), t("overview.deals")),
    card(tokens(supply.held), t("overview.held")),
    card(supply.equal ? "✔" : "✘", t("overview.supply", { total: tokens(supply.total) })),
  );
  fill(status, supply, orders, deals);
  const tiles = h("div", { class: "blocks" }, recent.blocks.map(tile));
  const tape = h("ol", { class: "tape short", "aria-live": "polite", tabindex: "0", "aria-label": t("overview.tape") });
  const busy = recent.blocks.filter((row) => row.tx_count > 0).slice(0, PAST);
  const past = await Promise.all(busy.map((row) => get(`blocks/${row.height}`).catch(() => null)));
  tape.append(...past.filter(Boolean).flatMap((found) => told(happened(found))).slice(0, LINES));
  let first = tape.children.length === 0;
  if (first) tape.append(h("li", { class: "soft" }, t("overview.wait")));
  let waiting = false;
  const refresh = async () => {
    if (waiting) return;
    waiting = true;
    await new Promise((wake) => setTimeout(wake, 250));
    waiting = false;
    if (!place.isHere()) return;
    const [status, recent, supply, orders, deals] = await Promise.all([
      get("status"), get(`blocks?limit=${TILES}`), get("supply"), get("orders?state=open&limit=1"), get("deals?state=open&limit=1"),
    ]);
    fill(status, supply, orders, deals);
    tiles.replaceChildren(...recent.blocks.map(tile));
  };
  place.live(onBlock((block) => {
    refresh().catch(() => {});
    const rows = told(block.events);
    if (rows.length && first) { tape.replaceChildren(); first = false; }
    tape.prepend(...rows);
    while (tape.children.length > LINES) tape.lastChild.remove();
  }));
  return [
    t("nav.overview"),
    h("p", { class: "lead" }, t("overview.lead")),
    numbers,
    panel(t("overview.blocks"), tiles),
    h("div", { class: "two" },
      panel(t("overview.tape"), tape),
      panel(t("overview.start"), h("p", {}, t("overview.start.text")), h("pre", {}, START),
        h("p", {}, link("api", t("overview.api")))),
    ),
  ];
}
