// What a deal's record says: how far it is, what was paid, until when.

import { h, s } from "./dom.js";
import { count, tagged, time } from "./format.js";
import { checkName, endOf, stateName } from "./names.js";
import { t } from "./words.js";

const OVER = ["settled", "failed", "cancelled", "completed"];
const BAD = ["failed", "cancelled", "disputed", "rematch"];
const DEADLINES = ["ack_by", "heartbeat_by", "done_by", "commit_by", "unseal_by", "reveal_by", "serve_by", "until", "audit_by", "open_until"];
/** In these states the window of a result stands still. */
const STILL = ["disputed", "demanded"];

/** Of a bid's requirements: only machines whose owners can be sent secrets. A number, because bit operations end at 32. */
const PRIVATE = 2 ** 32;

/** Whether module, inputs and outputs of an order's job are encrypted to those who execute it: nothing of them is to be had here. */
export const isPrivate = (order) => Math.floor((order.terms.bid?.requirements.capabilities ?? 0) / PRIVATE) % 2 === 1;

/** A lock, and the word for it. */
export const privateMark = () => h("span", { class: "tag quiet", title: t("private.text") },
  s("svg", { class: "lock", viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: "M4 7V5a4 4 0 0 1 8 0v2h1v8H3V7zm2 0h4V5a2 2 0 0 0-4 0z" })), t("private"));

export const isOver = (deal) => OVER.includes(tagged(deal.state)[0]);

/** How many segments of a deal are done: accepted, committed, or said to be done. */
export function done(deal) {
  const [name, state] = tagged(deal.state);
  const accepted = deal.accepted ?? 0;
  if (name === "settled") return Math.max(accepted, state.commitment?.count ?? 0);
  if (state.commitment) return Math.min(deal.terms.count, accepted + state.commitment.count);
  if (name === "sealed") return deal.terms.count;
  return Math.max(accepted, state.done ?? 0);
}

/** How many segments of a job are done, in whatever deals: those of a quorum do the same ones. */
export function segmentsDone(deals) {
  const spans = deals.map((deal) => [deal.terms.first, deal.terms.first + done(deal)]).sort((a, b) => a[0] - b[0]);
  let [total, end] = [0, 0];
  for (const [first, after] of spans) {
    total += Math.max(0, after - Math.max(first, end));
    end = Math.max(end, after);
  }
  return total;
}

/** Micro-tokens paid to providers in a deal: for batches, and for what was settled last. */
export const paid = (deal) => (deal.batches ?? []).reduce((total, batch) => total + BigInt(batch.paid ?? 0), BigInt(deal.state.settled?.paid ?? 0));

/** What was drawn in a deal, batch after batch. */
export const samples = (deal) => [...(deal.batches ?? []).flatMap((batch) => batch.samples ?? []), ...(tagged(deal.state)[1].samples ?? [])];

/** Every deadline of the present state, as names and values. */
export function deadlines(deal) {
  const [name, state] = tagged(deal.state);
  const rows = DEADLINES.filter((key) => state[key]).map((key) => {
    const stands = STILL.includes(name) && (key === "audit_by" || key === "open_until");
    return [t(`due.${key}`), stands ? `${time(state[key])} ${t("due.still")}` : time(state[key])];
  });
  return state.case ? [[t("due.case"), time(state.case.until)], ...rows] : rows;
}

/** The state as a tag, with the reason where there is one. */
export function badge(deal) {
  const [name, state] = tagged(deal.state);
  return [h("span", { class: BAD.includes(name) ? "tag bad" : OVER.includes(name) ? "tag" : "tag quiet" }, stateName(name)), state.why && ` ${endOf(name, state.why)}`];
}

/** How results are checked, in words. */
export function check(mode) {
  const [name, inner] = tagged(mode ?? "lottery");
  return inner.copies ? `${checkName(name)} (${count(inner.copies)})` : checkName(name);
}
