// One transaction.

import { get } from "../api.js";
import { facts, h, link, panel } from "../dom.js";
import { line } from "../events.js";
import { account, block, count, hash, tagged, time, tokens } from "../format.js";
import { statusName } from "../names.js";
import { t } from "../words.js";
import { mark } from "./blocks.js";

export default async function transaction(_place, id) {
  const state = await get(`tx/${id}`);
  if (state.status !== "committed") {
    return [t("tx.title"), panel(null, facts([[t("tx.id"), hash(id)], [t("tx.status"), statusName(state.status)]])), h("p", { class: "lead" }, t(`tx.${state.status}`))];
  }
  const found = await get(`blocks/${state.height}`);
  const tx = found.transactions[state.index];
  const [status, why] = tagged(state.receipt.status);
  return [
    t("tx.title"),
    panel(null, facts([
      [t("tx.id"), hash(id)],
      [t("tx.status"), [mark(status), why.refusal && ` ${why.refusal.message} (${why.refusal.code}: ${why.refusal.field}, ${why.refusal.limit}; ${why.refusal.got})`]],
      [t("tx.block"), [block(state.height), ` · ${t("tx.index")} ${count(state.index)}`]],
      [t("block.time"), time(found.header.time)],
      [t("tx.sender"), account(tx.body.sender)],
      [t("tx.nonce"), count(tx.body.nonce)],
      [t("tx.fee"), tokens(state.receipt.fee)],
      [t("tx.expires"), time(tx.body.expires_at)],
      [t("tx.signature"), hash(tx.signature)],
      [t("proof"), h("a", { href: `/v1/proofs/transaction/${id}` }, t("proof.get"))],
    ])),
    panel(t("tx.events"), h("ol", { class: "tape" }, state.receipt.events.map((event) => line({ height: state.height, tx: null, event })))),
    panel(t("tx.ops"), h("pre", {}, JSON.stringify(tx.body.ops, null, 2))),
    h("p", {}, link(`blocks/${state.height}`, t("tx.back"))),
  ];
}
