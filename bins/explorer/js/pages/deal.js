// One deal: where it is in its life, who is in it, what it cost, what happened.

import { get, onBlock } from "../api.js";
import { badge, check, deadlines, done, isPrivate, paid, privateMark } from "../deals.js";
import { facts, h, panel, table } from "../dom.js";
import { isOf, isTold, line, span } from "../events.js";
import { account, count, deal as dealLink, gigafuel, hash, job, order, seconds, shortHash, tagged, time, tokens } from "../format.js";
import { failure, finding, question, stateName } from "../names.js";
import { t } from "../words.js";

const LIFE = ["matched", "running", "committed", "drawn", "settled"];
const LIVES = { quorum: ["matched", "running", "sealed", "committed", "settled"], predicate: ["matched", "running", "examined", "settled"] };
/** Where the other states branch off. */
const AFTER = { asked: "matched", closing: "running", rematch: "running", sealed: "running", examined: "running", disputed: "drawn", demanded: "drawn" };
const ENDS = ["failed", "cancelled"];

/** The steps of a deal's life, with its present state among them wherever that belongs. */
function life(deal, name) {
  if (ENDS.includes(name)) return [...LIFE.slice(0, deal.commits > 0 ? 3 : done(deal) > 0 || deal.state.failed?.why === "late" ? 2 : 1), name];
  const [mode] = tagged(deal.terms.check);
  const path = [LIVES[mode] ?? LIFE, LIFE].find((path) => path.includes(name)) ?? LIFE;
  if (path.includes(name)) return path;
  const at = path.indexOf(AFTER[name]) + 1;
  return at > 0 ? [...path.slice(0, at), name, ...path.slice(at)] : [...path, name];
}

function strip(deal) {
  const [name] = tagged(deal.state);
  const steps = life(deal, name);
  const at = steps.indexOf(name);
  const mark = (index) => ({ class: index < at ? "past" : index === at ? "now" : null, "aria-current": index === at ? "step" : null });
  return h("ol", { class: "strip" }, steps.map((step, index) => h("li", mark(index), stateName(step))));
}

/** A question before the validators: who brought it, what is asked, what they found so far. */
function court(open, validators) {
  const [kind, asked] = tagged(open.question);
  const needed = validators.length - Math.floor(Math.max(0, validators.length - 1) / 3);
  const result = (who, receipt) => [who, shortHash(receipt.output), gigafuel(receipt.fuel), tagged(receipt.status)[0]];
  const said = [
    asked.committed && result(t("case.committed"), asked.committed),
    asked.found && result(t("case.found"), asked.found),
  ].filter(Boolean);
  const votes = (open.votes ?? []).map((vote) => {
    const [name, inner] = tagged(vote.finding);
    return [validators[vote.seat]?.name ?? count(vote.seat), finding(name), inner.output ? shortHash(inner.output) : "–", inner.fuel === undefined ? "–" : gigafuel(inner.fuel)];
  });
  return panel(t("case.title", { number: count(open.id.number) }),
    facts([
      [t("case.question"), question(kind)],
      [t("deal.segment"), asked.committed ? count(asked.committed.segment) : null],
      [t("case.by"), account(open.by)],
      [t("case.stake"), tokens(open.stake)],
      [t("case.opened"), time(open.opened)],
      [t("due.case"), time(open.until)],
      [t("case.votes"), t("case.votes_of", { n: count(votes.length), needed: count(needed) })],
    ]),
    said.length > 0 && table([[t("case.says")], [t("case.output")], [t("deal.fuel"), true], [t("tx.status")]], said),
    table([[t("case.validator")], [t("case.finding")], [t("case.output")], [t("deal.fuel"), true]], votes, t("case.no_votes")));
}

/** What was accepted and paid, batch after batch, the last one of a settled deal with the others. */
function batches(deal) {
  const last = deal.state.settled;
  const rows = [...(deal.batches ?? [])];
  if (last) rows.push({ ...last, first: deal.terms.first + Math.max(0, (deal.accepted ?? 0) - last.commitment.count), provider: deal.provider });
  return rows.length > 0 && panel(t("deal.batches"), table(
    [[t("deal.segments")], [t("role.provider")], [t("deal.fuel"), true], [t("deal.paid"), true], [t("deal.samples")], [t("deal.receipts")]],
    rows.map((batch) => [
      span(batch.first, batch.commitment.count), account(batch.provider), gigafuel(batch.commitment.fuel), tokens(batch.paid),
      (batch.samples ?? []).map((sample) => count(sample.segment)).join(", ") || "–", h("a", { href: `/v1/blobs/${batch.receipts}` }, shortHash(batch.receipts)),
    ])));
}

function verdict(sample) {
  const [key, kind] = sample.passed ? ["equal", "tag"] : sample.seal ? ["sealed", "tag quiet"] : ["waits", "tag quiet"];
  return h("span", { class: kind }, t(`verdict.${key}`));
}

function ratings(deal) {
  const rows = [["role.renter", "role.provider", deal.of_provider], ["role.provider", "role.renter", deal.of_renter]].filter(([, , rating]) => rating);
  return rows.length > 0 && panel(t("rating.title"), table(
    [[t("rating.by")], [t("rating.of")], [t("rating.stars"), true], [t("rating.comment")], [t("block.time")]],
    rows.map(([by, of, rating]) => [t(by), t(of), t("rating.of_five", { stars: count(rating.stars) }), rating.comment || "–", time(rating.at)])));
}

/** The deals that do the same work. */
function group(deal) {
  if (!deal.group) return null;
  const [first, many] = deal.group;
  return Array.from({ length: many }, (_, at) => [at > 0 && " · ", dealLink(first + at)]);
}

export default async function deal(place, id) {
  const body = h("div");
  const fill = async () => {
    const [found, trail, { validators }] = await Promise.all([get(`deals/${id}`), get(`deals/${id}/trail`), get("validators")]);
    const bid = await get(`orders/${found.bid}`);
    const [, state] = tagged(found.state);
    const terms = found.terms;
    const drawn = state.samples ?? [];
    const predicate = terms.check?.predicate;
    const tried = found.tried ?? [];
    if (!place.isHere()) return;
    body.replaceChildren(...[
      strip(found),
      panel(null, facts([
        [t("deal.state"), badge(found)],
        ...deadlines(found),
        [t("deal.stop"), found.stop && found.stop !== "no" ? t(found.stop === "last" ? "stop.last" : "stop.asked") : null],
        [t("deal.job"), job(found.bid)],
        [t("order.kept"), isPrivate(bid) ? privateMark() : null],
        [t("role.provider"), account(found.provider)],
        [t("role.renter"), account(found.renter)],
        [t("deal.ask"), order(found.ask)],
        [t("deal.segments"), `${count(done(found))} / ${count(terms.count)} (${t("deal.from", { first: count(terms.first) })})`],
        [t("deal.accepted"), `${count(found.accepted ?? 0)} / ${count(terms.count)}`],
        [t("deal.committed"), terms.batches_max ? `${count(found.commits ?? 0)} / ${count(terms.batches_max)}` : null],
        [t("deal.attempt"), terms.attempts_max > 1 ? `${count(Math.min(tried.length + 1, terms.attempts_max))} / ${count(terms.attempts_max)}` : null],
        [t("deal.check"), check(terms.check)],
        [t("check.module"), predicate ? hash(predicate.module) : null],
        [t("deal.group"), group(found)],
        [t("order.heartbeat"), terms.heartbeat_within > 0 ? seconds(terms.heartbeat_within) : null],
        [t("deal.price"), tokens(terms.price)],
        [t("deal.escrow"), tokens(found.escrow)],
        [t("deal.bond"), tokens(found.bond)],
        [t("deal.deposit"), tokens(found.deposit)],
        [t("deal.fuel"), state.commitment ? gigafuel(state.commitment.fuel) : null],
        [t("deal.root"), state.commitment ? hash(state.commitment.root) : null],
        [t("deal.receipts"), state.receipts ? h("a", { href: `/v1/deals/${id}/receipts` }, hash(state.receipts)) : null],
        [t("deal.seal"), typeof state.seal === "string" ? hash(state.seal) : null],
        [t("deal.wanted"), state.serve_by ? [count(state.segment), " · ", account(state.by), ` · ${tokens(state.fee)}`] : null],
        [t("deal.paid"), tokens(paid(found))],
        [t("deal.audited"), tokens(found.audited)],
        [t("deal.fine"), state.fine === undefined ? null : tokens(state.fine)],
        [t("deal.refund"), state.refund === undefined ? null : tokens(state.refund)],
        [t("proof"), h("a", { href: `/v1/proofs/deal/${id}` }, t("proof.get"))],
      ])),
      state.case && court(state.case, validators),
      drawn.length > 0 && panel(t("deal.samples"), table(
        [[t("deal.segment"), true], [t("role.auditor")], [t("deal.verdict")]],
        drawn.map((sample) => [count(sample.segment), sample.auditor ? account(sample.auditor) : t("deal.nobody"), verdict(sample)]))),
      batches(found),
      tried.length > 0 && panel(t("deal.tried"), table([[t("role.provider")], [t("deal.why")]], tried.map(([who, why]) => [account(who), failure(why)]))),
      ratings(found),
      panel(t("deal.trail"), h("ol", { class: "tape" }, trail.events.filter(({ event }) => !isTold(event)).map(line)), h("p", { class: "soft" }, t("deal.trail.text", { id: found.bid }))),
    ].filter(Boolean));
  };
  await fill();
  place.live(onBlock((happened) => {
    if (happened.events.some(({ event }) => isOf(event, Number(id)))) fill().catch(() => {});
  }));
  return [t("deal.n", { id }), body];
}
