// What stands, and what happens right now.

import { get, onBlock } from "../api.js";
import { card, h, link, panel } from "../dom.js";
import { isMoney, isTold, line } from "../events.js";
import { ago, block, count, shortHash, tokens } from "../format.js";
import { t } from "../words.js";

const TILES = 14;
const LINES = 40;

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
  const tape = h("ol", { class: "tape", "aria-live": "polite" }, h("li", { class: "soft" }, t("overview.wait")));
  let first = true;
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
  place.live(onBlock((happened) => {
    refresh().catch(() => {});
    const rows = happened.events.filter((row) => !isMoney(row.event) && !isTold(row.event));
    if (rows.length && first) { tape.replaceChildren(); first = false; }
    tape.prepend(...rows.reverse().map(line));
    while (tape.children.length > LINES) tape.lastChild.remove();
  }));
  return [
    t("nav.overview"),
    h("p", { class: "lead" }, t("overview.lead")),
    numbers,
    panel(t("overview.blocks"), tiles),
    h("div", { class: "two" },
      panel(t("overview.tape"), tape),
      panel(t("overview.start"), h("p", {}, t("overview.start.text")), h("pre", {}, "gongsuan job init render > job.toml\ngongsuan job run job.toml\ngongsuan provider join\nscripts/cluster.sh up 4"),
        h("p", {}, link("api", t("overview.api")))),
    ),
  ];
}
