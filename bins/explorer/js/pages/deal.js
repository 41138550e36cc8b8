// One deal: where it is in its life, who is in it, what it cost, what happened.

import { get, onBlock } from "../api.js";
import { facts, h, panel, table } from "../dom.js";
import { line } from "../events.js";
import { account, count, gigafuel, hash, job, order, tagged, time, tokens } from "../format.js";
import { done } from "../tiles.js";
import { t } from "../words.js";

const LIFE = ["matched", "running", "committed", "drawn", "settled"];

function strip(name) {
  const life = name === "failed" || name === "disputed" ? [...LIFE.slice(0, name === "failed" ? 2 : 4), name] : LIFE;
  const at = life.indexOf(name);
  return h("ol", { class: "strip" }, life.map((step, index) => h("li", { class: index < at ? "past" : index === at ? "now" : null, "aria-current": index === at ? "step" : null }, t(`deal.state.${step}`))));
}

export default async function deal(place, id) {
  const body = h("div");
  const fill = async () => {
    const [found, trail] = await Promise.all([get(`deals/${id}`), get(`deals/${id}/trail`)]);
    const [name, state] = tagged(found.state);
    const samples = state.samples ?? [];
    if (!place.isHere()) return;
    body.replaceChildren(...[
      strip(name),
      panel(null, facts([
        [t("deal.job"), job(found.bid)],
        [t("role.provider"), account(found.provider)],
        [t("role.renter"), account(found.renter)],
        [t("deal.ask"), order(found.ask)],
        [t("deal.segments"), `${count(done(found))} / ${count(found.terms.count)} (${t("deal.from", { first: count(found.terms.first) })})`],
        [t("deal.price"), tokens(found.terms.price)],
        [t("deal.escrow"), tokens(found.escrow)],
        [t("deal.deposit"), tokens(found.deposit)],
        [t("deal.fuel"), state.commitment ? gigafuel(state.commitment.fuel) : null],
        [t("deal.root"), state.commitment ? hash(state.commitment.root) : null],
        [t("deal.receipts"), state.receipts ? h("a", { href: `/v1/deals/${id}/receipts` }, state.receipts) : null],
        [t("deal.paid"), state.paid === undefined ? null : tokens(state.paid)],
        [t("deal.refund"), state.refund === undefined ? null : tokens(state.refund)],
        [t("deal.due"), due(state)],
        [t("deal.why"), state.why ? t(`failure.${state.why}`) : null],
        [t("proof"), h("a", { href: `/v1/proofs/deal/${id}` }, t("proof.get"))],
      ])),
      samples.length > 0 && panel(t("deal.samples"), table(
        [[t("deal.segment"), true], [t("role.auditor")], [t("deal.verdict")]],
        samples.map((sample) => [count(sample.segment), sample.auditor ? account(sample.auditor) : t("deal.nobody"), h("span", { class: sample.passed ? "tag" : "tag quiet" }, t(sample.passed ? "deal.equal" : "deal.waits"))]))),
      panel(t("deal.trail"), h("ol", { class: "tape" }, trail.events.map(line)), h("p", { class: "soft" }, t("deal.trail.text", { id }))),
    ].filter(Boolean));
  };
  await fill();
  place.live(onBlock((happened) => {
    const mine = ({ event }) => Object.values(event.market ?? {}).some((inner) => inner.deal === Number(id));
    if (happened.events.some(mine)) fill().catch(() => {});
  }));
  return [t("deal.n", { id }), body];
}

function due(state) {
  const at = state.ack_by ?? state.done_by ?? state.audit_by ?? state.reveal_by ?? state.until;
  return at ? time(at) : null;
}
