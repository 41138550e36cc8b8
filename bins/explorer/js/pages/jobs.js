// Jobs: the newest, and one with its tiles, its picture and its money.

import { get, onBlock } from "../api.js";
import { badge, check, done, isPrivate, paid, privateMark, segmentsDone } from "../deals.js";
import { card, facts, h, panel, table } from "../dom.js";
import { account, count, deal, gigafuel, hash, job, order, seconds, tagged, time, tokens } from "../format.js";
import { orderLife } from "../names.js";
import { picture } from "../picture.js";
import { tiles } from "../tiles.js";
import { t } from "../words.js";

const isJob = (one) => "job" in (one.terms.bid?.work ?? {});
const sum = (deals, amount) => deals.reduce((total, one) => total + BigInt(amount(one) ?? 0), 0n);
const settled = (one) => one.state.settled ?? {};

export async function list(place) {
  const body = h("div");
  const fill = async () => {
    const { orders } = await get("orders?side=bid&limit=100");
    const all = await Promise.all(orders.filter(isJob).map(async (one) => [one, (await get(`deals?order=${one.id}&limit=200`)).deals]));
    const rows = all.map(([one, deals]) => {
      const work = one.terms.bid.work.job;
      const segments = work.spec.shape.map?.segments ?? 0;
      const finished = segmentsDone(deals);
      return [[job(one.id), isPrivate(one) && [" ", privateMark()]], account(one.owner), count(deals.length), `${count(finished)} / ${count(segments)}`, tokens(sum(deals, paid)), orderLife(one)];
    });
    if (place.isHere()) body.replaceChildren(table([[t("job.id")], [t("role.renter")], [t("job.deals"), true], [t("job.segments"), true], [t("job.paid"), true], [t("order.state")]], rows, t("jobs.none")));
  };
  await fill();
  let waiting = false;
  place.live(onBlock((happened) => {
    if (waiting || !happened.events.some(({ event }) => event.market)) return;
    waiting = true;
    setTimeout(() => { waiting = false; if (place.isHere()) fill().catch(() => {}); }, 300);
  }));
  return [t("nav.jobs"), h("p", { class: "lead" }, t("jobs.lead")), panel(null, body)];
}

export async function one(place, id) {
  const bid = await get(`orders/${id}`);
  if (!isJob(bid)) return [t("job.n", { id }), h("p", { class: "lead" }, t("job.not", { id })), order(id)];
  const { spec, samples, check: mode, pace } = bid.terms.bid.work.job;
  const segments = spec.shape.map?.segments ?? 0;
  const first = (await get(`deals?order=${id}&limit=200`)).deals;
  const hidden = isPrivate(bid);
  const drawing = hidden ? null : await picture(spec, first, t("job.picture"));
  const numbers = h("div", { class: "cards" });
  const grid = h("div");
  const rows = h("div");
  const fill = (deals) => {
    const finished = segmentsDone(deals);
    numbers.replaceChildren(
      card(`${count(finished)} / ${count(segments)}`, t("job.segments")),
      card(tokens(sum(deals, paid)), t("job.paid")),
      card(tokens(sum(deals, (each) => each.escrow)), t("job.escrow")),
      card(tokens(sum(deals, (each) => settled(each).refund)), t("job.refund")),
      card(tokens(sum(deals, (each) => each.audited)), t("job.audited")));
    grid.replaceChildren(...[tiles(segments, deals, drawing)].filter(Boolean));
    rows.replaceChildren(table(
      [[t("deal.id")], [t("role.provider")], [t("deal.segments"), true], [t("deal.price"), true], [t("deal.fuel"), true], [t("deal.paid"), true], [t("deal.state")]],
      deals.map((each) => {
        const [, state] = tagged(each.state);
        return [deal(each.id), account(each.provider), `${count(done(each))} / ${count(each.terms.count)}`, tokens(each.terms.price), state.commitment ? gigafuel(state.commitment.fuel) : "–", tokens(paid(each)), badge(each)];
      }), t("job.no_deals")));
  };
  fill(first);
  let waiting = false;
  place.live(onBlock((happened) => {
    if (waiting || !happened.events.some(({ event }) => event.market)) return;
    waiting = true;
    setTimeout(async () => {
      waiting = false;
      const { deals } = await get(`deals?order=${id}&limit=200`);
      if (!place.isHere()) return;
      fill(deals);
      await drawing?.update(deals);
    }, 200);
  }));
  return [
    t("job.n", { id }),
    numbers,
    h("div", { class: "two" },
      panel(t("job.progress"), grid, h("p", { class: "soft" }, t("job.legend", { samples: count(samples) }))),
      hidden && panel(privateMark(), h("p", {}, t("private.text"))),
      drawing && panel(t("job.picture"), drawing.canvas, h("p", { class: "soft" }, t("job.picture.text")))),
    panel(t("job.deals"), rows),
    panel(t("job.about"), facts([
      [t("role.renter"), account(bid.owner)],
      [t("job.order"), order(id)],
      [t("job.module"), hash(spec.module)],
      [t("job.hash"), first[0] ? hash(first[0].terms.job) : null],
      [t("job.fuel_max"), gigafuel(spec.limits.fuel)],
      [t("deal.check"), check(mode)],
      [t("order.batches"), pace ? count(pace.batches_max) : null],
      [t("order.attempts"), pace ? count(pace.attempts_max) : null],
      [t("order.heartbeat"), pace?.heartbeat_within > 0 ? seconds(pace.heartbeat_within) : null],
      [t("order.state"), orderLife(bid)],
      [t("order.expires"), time(bid.terms.bid.expires_at)],
    ])),
  ];
}
