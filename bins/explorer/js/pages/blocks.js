// Blocks: the newest, and one.

import { get, onBlock } from "../api.js";
import { facts, h, link, panel, table } from "../dom.js";
import { line } from "../events.js";
import { account, ago, block, count, hash, shortHash, tagged, time, tokens, transaction } from "../format.js";
import { opName, statusName } from "../names.js";
import { t } from "../words.js";

const ROWS = 50;

export async function list(place) {
  const body = h("div");
  let below = null;
  const names = new Map((await get("validators")).validators.map((one) => [one.key, one.name]));
  const fill = async () => {
    const page = await get(`blocks?limit=${ROWS}${below === null ? "" : `&below=${below}`}`);
    const rows = page.blocks.map((row) => [
      block(row.height), ago(row.time), names.get(row.proposer) ?? "–", count(row.term), count(row.tx_count), count(row.body_bytes), shortHash(row.hash), shortHash(row.state_root),
    ]);
    const columns = [[t("block.height"), true], [t("block.time")], [t("block.proposer")], [t("block.term"), true], [t("block.txs"), true], [t("block.bytes"), true], [t("block.hash")], [t("block.root")]];
    const older = page.blocks.length && page.blocks.at(-1).height > 1;
    const move = (to) => () => { below = to; fill().catch(() => {}); };
    body.replaceChildren(
      table(columns, rows, t("blocks.none")),
      h("div", { class: "row" },
        below !== null && h("button", { type: "button", onclick: move(null) }, t("blocks.newest")),
        older && h("button", { type: "button", onclick: move(page.blocks.at(-1).height) }, t("blocks.older"))),
    );
  };
  await fill();
  let waiting = false;
  place.live(onBlock(() => {
    if (below !== null || waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; if (below === null && place.isHere()) fill().catch(() => {}); }, 300);
  }));
  return [t("nav.blocks"), panel(null, body)];
}

export async function one(_place, height) {
  const [found, { validators }] = await Promise.all([get(`blocks/${height}`), get("validators")]);
  const header = found.header;
  const name = validators.find((validator) => validator.key === header.proposer)?.name ?? "–";
  const rows = found.receipts.map((receipt, at) => {
    const [status] = tagged(receipt.status);
    const tx = found.transactions[at];
    return [count(at), transaction(receipt.id), account(tx.body.sender), tx.body.ops.map((op) => opName(operation(op))).join(", "), tokens(receipt.fee), mark(status)];
  });
  const columns = [[t("tx.index"), true], [t("tx.id")], [t("tx.sender")], [t("tx.ops")], [t("tx.fee"), true], [t("tx.status")]];
  const beside = [];
  if (header.height > 1) beside.push(link(`blocks/${header.height - 1}`, `← ${count(header.height - 1)}`));
  beside.push(link(`blocks/${header.height + 1}`, `${count(header.height + 1)} →`));
  return [
    t("block.title", { height: count(header.height) }),
    h("div", { class: "row" }, beside),
    panel(null, facts([
      [t("block.time"), time(header.time)],
      [t("block.proposer"), name],
      [t("block.term"), count(header.term)],
      [t("block.hash"), hash(found.hash)],
      [t("block.parent"), hash(header.parent)],
      [t("block.log"), hash(header.block)],
      [t("block.root"), hash(header.state_root)],
      [t("block.tx_root"), hash(header.tx_root)],
      [t("block.receipt_root"), hash(header.receipt_root)],
      [t("block.history_root"), hash(header.history_root)],
      [t("block.bytes"), count(header.body_bytes)],
      [t("block.signed"), signatures(found, validators)],
    ])),
    panel(t("block.transactions"), table(columns, rows, t("block.empty"))),
    found.events.length > 0 && panel(t("block.events"), h("ol", { class: "tape" }, found.events.map((event) => line({ height: header.height, tx: null, event })))),
    panel(t("block.raw"), h("pre", {}, found.bytes)),
  ];
}

/** Who signed the commit, where the node says it. */
function signatures(found, validators) {
  const seats = found.signed_by;
  return seats ? t("block.signed_by", { names: seats.map((seat) => validators[seat]?.name ?? seat).join(", "), n: seats.length, of: validators.length }) : null;
}

/** The name of an operation, the market's by their own names. */
export function operation(op) {
  const [kind, inner] = tagged(op);
  return kind === "market" ? tagged(inner)[0] : kind;
}

export const mark = (status) => h("span", { class: status === "applied" ? "tag" : "tag bad" }, statusName(status));
