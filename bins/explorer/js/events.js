// What happened, in words with links.

import { h } from "./dom.js";
import { account, block, className, count, deal, gigafuel, order, tagged, time, tokens, transaction } from "./format.js";
import { ended, failure, finding, reason, roleName, sideName, stateName, step } from "./names.js";
import { t } from "./words.js";

/** Segments by the first and how many. */
export const span = (first, many) => (many > 1 ? `${count(first)}–${count(first + many - 1)}` : count(first));

/** A text whose `{names}` are replaced by elements or text. */
export function say(key, values) {
  return t(key).split(/(\{\w+\})/).map((part) => (/^\{\w+\}$/.test(part) ? values[part.slice(1, -1)] ?? part : part));
}

const HOLDS = { order, escrow: deal, deposit: deal, stake: deal, pledge: account, capacity: account };

const hold = (of) => {
  const [kind, id] = tagged(of);
  return kind in HOLDS ? say(`hold.${kind}`, { of: HOLDS[kind](id) }) : h("code", {}, JSON.stringify(of));
};

/** A case before the validators, by its deal and number. */
export const caseName = (id) => say("case.of", { deal: deal(id.deal), number: count(id.number) });

/** Why a certificate of capacity is gone: in words, or the failure of a probe. */
const lapse = (why) => (typeof why === "string" ? t(`lapse.${why}`) : failure(why.failed));

/** The steps of a deal that an event of their own tells. */
const TOLD = ["acknowledge", "progress", "commit", "unseal", "reveal", "draw", "audit", "challenge", "demand-output", "ask-input", "serve", "rematched", "window-over", "agree", "approve", "no-ack", "late", "silent", "unopened", "fraud", "output-missing", "unjudged", "withheld", "refuse", "no-offer", "beat", "gap", "unwitnessed", "leave"];

const MONEY = {
  hold: (m) => ({ owner: account(m.owner), amount: tokens(m.amount), hold: hold(m.hold) }),
  move: (m) => ({ amount: tokens(m.amount), source: hold(m.source), target: hold(m.target) }),
  post: (m) => ({ amount: tokens(m.amount), hold: hold(m.hold), to: account(m.to), reason: reason(m.reason) }),
  void: (m) => ({ amount: tokens(m.amount), hold: hold(m.hold) }),
  slash: (m) => ({ amount: tokens(m.amount), hold: hold(m.hold), to: account(m.to), reason: reason(m.reason) }),
};

const MARKET = {
  placed: (m) => ({
    order: order(m.order), owner: account(m.owner), side: sideName(m.side), units: count(m.units), class: className(m.class), price: tokens(m.price),
  }),
  amended: (m) => ({ order: order(m.order), open: count(m.open), price: tokens(m.price) }),
  cancelled: (m) => ({ order: order(m.order), open: count(m.open), why: ended(m.why) }),
  expired: (m) => ({ order: order(m.order), open: count(m.open) }),
  deferred: (m) => ({ order: order(m.order) }),
  searched: (m) => ({ order: order(m.order), visited: count(m.visited), fee: tokens(m.fee) }),
  filled: (m) => ({
    deal: deal(m.deal), ask: order(m.ask), bid: order(m.bid), provider: account(m.provider), renter: account(m.renter), price: tokens(m.price), units: count(m.units),
  }),
  acknowledged: (m) => ({ deal: deal(m.deal) }),
  progress: (m) => ({ deal: deal(m.deal), done: count(m.done), count: count(m.count) }),
  committed: (m) => ({ deal: deal(m.deal), fuel: gigafuel(m.commitment.fuel) }),
  revealed: (m) => ({ deal: deal(m.deal) }),
  drawn: (m) => ({ deal: deal(m.deal), segments: m.samples.map((sample) => sample.segment).join(", ") }),
  audited: (m) => ({ deal: deal(m.deal), segment: count(m.segment), auditor: account(m.auditor), paid: tokens(m.paid) }),
  disputed: (m) => ({ deal: deal(m.deal), segment: count(m.segment), auditor: account(m.auditor) }),
  settled: (m) => ({ deal: deal(m.deal), paid: tokens(m.paid), fee: tokens(m.fee), audited: tokens(m.audited), refund: tokens(m.refund) }),
  failed: (m) => ({ deal: deal(m.deal), why: failure(m.why), fine: tokens(m.fine) }),
  moved: (m) => ({ deal: deal(m.deal), step: step(m.step), to: stateName(m.to) }),
  "begun-paid": (m) => ({ deal: deal(m.deal), units: m.units, paid: tokens(m.paid), fee: tokens(m.fee) }),
  accepted: (m) => ({ deal: deal(m.deal), segments: span(m.first, m.count), paid: tokens(m.paid), fee: tokens(m.fee) }),
  dropped: (m) => ({ deal: deal(m.deal), provider: account(m.provider), why: failure(m.why), fine: tokens(m.fine) }),
  rematched: (m) => ({ deal: deal(m.deal), provider: account(m.provider), ask: order(m.ask), price: tokens(m.price), segments: span(m.first, m.count) }),
  "case-opened": (m) => ({ case: caseName(m.case), by: account(m.by), stake: tokens(m.stake) }),
  judged: (m) => ({ case: caseName(m.case), finding: finding(tagged(m.finding)[0]) }),
  pledged: (m) => ({ auditor: account(m.auditor), amount: tokens(m.amount) }),
  rated: (m) => ({ deal: deal(m.deal), by: account(m.by), of: account(m.of), stars: count(m.stars) }),
  served: (m) => ({ deal: deal(m.deal), segment: count(m.receipt.segment) }),
  completed: (m) => ({ deal: deal(m.deal), paid: tokens(m.paid), fee: tokens(m.fee), refund: tokens(m.refund) }),
  "capacity-claimed": (m) => ({ provider: account(m.provider), lanes: count(m.claim.lanes), memory: count(m.claim.mebibytes), held: tokens(m.held) }),
  probed: (m) => ({ deal: deal(m.deal), provider: account(m.provider), lanes: count(m.lanes) }),
  certified: (m) => ({ provider: account(m.provider), lanes: count(m.capacity.lanes), memory: count(m.capacity.mebibytes), rate: gigafuel(m.fuel_per_s) }),
  uncertified: (m) => ({ provider: account(m.provider), why: lapse(m.why) }),
};

const CHAIN = {
  transferred: (m) => ({ from: account(m.from), to: account(m.to), amount: tokens(m.amount) }),
  granted: (m) => ({ subject: account(m.subject), role: roleName(m.role), until: time(m.expires_at) }),
  revoked: (m) => ({ subject: account(m.subject), role: roleName(m.role) }),
  owned: (m) => ({ account: account(m.account), owner: m.owner.slice(0, 8) }),
  "key-published": (m) => ({ owner: account(m.owner), number: count(m.number + 1) }),
  supervised: (m) => ({ by: account(m.by), subject: account(m.subject), now: t(m.frozen ? "frozen.yes" : "frozen.no") }),
};

/** One event as a sentence. What this page does not know yet is shown as it came. */
export function sentence(event) {
  const [kind, inner] = tagged(event);
  const [table, prefix, [name, values]] =
    kind === "market" ? [MARKET, "event.market", tagged(inner)]
    : kind === "money" ? [MONEY, "event.money", tagged(inner)]
    : [CHAIN, "event", [kind, inner]];
  return name in table ? say(`${prefix}.${name}`, table[name](values)) : h("code", {}, JSON.stringify(event));
}

/** Whether an event says of a deal what another one beside it says better: for tapes that want each thing once. */
export const isTold = ({ market }) => TOLD.includes(market?.moved?.step);

/** Whether an event is about a deal, or a case of it. */
export const isOf = ({ market }, id) => Object.values(market ?? {}).some((inner) => (inner.deal ?? inner.case?.deal) === id);

/** Whether an event is about money only: shown where money is the matter. */
export const isMoney = (event) => "money" in event;

/** A line of a tape: where, and what. */
export const line = (row) =>
  h("li", {}, h("span", { class: "at" }, block(row.height), row.tx && [" · ", transaction(row.tx)]), sentence(row.event));
