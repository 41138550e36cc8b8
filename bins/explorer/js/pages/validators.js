// Validators: who is connected, who leads, who signed the newest certificate.

import { get, onBlock } from "../api.js";
import { card, facts, h, panel, table } from "../dom.js";
import { block, count, hash } from "../format.js";
import { t } from "../words.js";

export default async function validators(place) {
  const body = h("div");
  const fill = async () => {
    const [status, { validators }, latest] = await Promise.all([get("status"), get("validators"), get("headers/latest").catch(() => null)]);
    const signed = new Set(latest?.certified.certificate.signatures.map((one) => one.seat) ?? []);
    const quorum = validators.length - Math.floor((validators.length - 1) / 3);
    if (!place.isHere()) return;
    body.replaceChildren(...[
      h("div", { class: "cards" },
        card(count(validators.length), t("validators.count")), card(count(quorum), t("validators.quorum")), card(count(validators.length - quorum), t("validators.faulty")), card(count(status.term), t("block.term"))),
      panel(null, table(
        [[t("validators.name")], [t("validators.link")], [t("validators.leads")], [t("validators.signed")], [t("validators.key")]],
        validators.map((one, seat) => [
          one.name, t(one.name === status.name ? "validators.this" : status.peers.includes(one.name) ? "validators.up" : "validators.down"), one.name === status.leader ? "●" : "", signed.has(seat) ? "✔" : "–", hash(one.key),
        ]))),
      latest && panel(t("validators.certified"), facts([
        [t("block.height"), block(latest.header.height)],
        [t("block.root"), hash(latest.header.state_root)],
        [t("block.hash"), hash(latest.certified.block.header.app.hash)],
        [t("validators.certificate"), t("validators.certificate.text", { height: count(latest.certified.certificate.rank.height), n: signed.size })],
      ])),
    ].filter(Boolean));
  };
  await fill();
  let waiting = false;
  place.live(onBlock(() => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; if (place.isHere()) fill().catch(() => {}); }, 500);
  }));
  return [t("nav.validators"), h("p", { class: "lead" }, t("validators.lead")), body];
}
