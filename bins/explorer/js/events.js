// What happened, in words with links.

import { h } from "./dom.js";
import { account, block, className, count, deal, gigafuel, order, tagged, time, tokens, transaction } from "./format.js";
import { t } from "./words.js";

/** A text whose `{names}` are replaced by elements or text. */
export function say(key, values) {
  return t(key).split(/(\{\w+\})/).map((part) => (/^\{\w+\}$/.test(part) ? values[part.slice(1, -1)] ?? part : part));
}

const hold = (of) => {
  const [kind, id] = tagged(of);
  const shown = kind === "order" ? order(id) : deal(id);
  return say(`hold.${kind}`, { of: shown });
};

const MONEY = {
  hold: (m) => ({ owner: account(m.owner), amount: tokens(m.amount), hold: hold(m.hold) }),
  move: (m) => ({ amount: tokens(m.amount), source: hold(m.source), target: hold(m.target) }),
  post: (m) => ({ amount: tokens(m.amount), hold: hold(m.hold), to: account(m.to), reason: t(`reason.${m.reason}`) }),
  void: (m) => ({ amount: tokens(m.amount), hold: hold(m.hold) }),
  slash: (m) => ({ amount: tokens(m.amount), hold: hold(m.hold), to: account(m.to), reason: t(`reason.${m.reason}`) }),
};

const MARKET = {
  placed: (m) => ({
    order: order(m.order), owner: account(m.owner), side: t(`side.${m.side}`), units: count(m.units), class: className(m.class), price: tokens(m.price),
  }),
  amended: (m) => ({ order: order(m.order), open: count(m.open), price: tokens(m.price) }),
  cancelled: (m) => ({ order: order(m.order), open: count(m.open) }),
  expired: (m) => ({ order: order(m.order), open: count(m.open) }),
  deferred: (m) => ({ order: order(m.order) }),
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
  settled: (m) => ({ deal: deal(m.deal), paid: tokens(m.paid), refund: tokens(m.refund) }),
  failed: (m) => ({ deal: deal(m.deal), why: t(`failure.${m.why}`), fine: tokens(m.fine) }),
};

const CHAIN = {
  transferred: (m) => ({ from: account(m.from), to: account(m.to), amount: tokens(m.amount) }),
  granted: (m) => ({ subject: account(m.subject), role: t(`role.${m.role}`), until: time(m.expires_at) }),
  revoked: (m) => ({ subject: account(m.subject), role: t(`role.${m.role}`) }),
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

/** Whether an event is about money only: shown where money is the matter. */
export const isMoney = (event) => "money" in event;

/** A line of a tape: where, and what. */
export const line = (row) =>
  h("li", {}, h("span", { class: "at" }, block(row.height), row.tx && [" · ", transaction(row.tx)]), sentence(row.event));
