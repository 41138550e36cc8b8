// One order, and why it did not match.

import { get } from "../api.js";
import { check, isPrivate, privateMark } from "../deals.js";
import { facts, h, link, panel, table } from "../dom.js";
import { machine as machineFacts } from "../machine.js";
import { account, block, className, count, job, order as orderLink, seconds, tagged, time, tokens } from "../format.js";
import { orderLife, sideName } from "../names.js";
import { t } from "../words.js";

export default async function order(_place, id) {
  const [found, why] = await Promise.all([get(`orders/${id}`), get(`orders/${id}/why`)]);
  const [side, terms] = tagged(found.terms);
  const isJob = side === "bid" && "job" in (terms.work ?? {});
  const work = terms.work?.job;
  const pace = work?.pace;
  const machine = terms.machine ?? terms.requirements;
  return [
    t("order.title", { id }),
    panel(null, facts([
      [t("order.side"), h("span", { class: side }, sideName(side))],
      [t("order.owner"), account(found.owner)],
      [t("order.class"), link(`market/${className(terms.class)}`, className(terms.class))],
      [t("order.price"), tokens(terms.price ?? terms.price_max)],
      [t("order.units"), count(terms.units)],
      [t("order.open"), count(found.open)],
      [t("order.state"), orderLife(found)],
      [t("order.ahead"), why.ahead === null || why.ahead === undefined ? null : count(why.ahead)],
      [t("order.held"), tokens(found.held)],
      [t("order.search"), why.search_budget === null || why.search_budget === undefined ? null : tokens(why.search_budget)],
      [t("order.deals"), count(found.deals ?? 0)],
      [t("order.arrived"), block(found.arrived)],
      [t("order.expires"), time(terms.expires_at)],
      [t("order.job"), isJob ? job(found.id) : null],
      [t("order.kept"), isPrivate(found) ? privateMark() : null],
      [t("deal.check"), work ? check(work.check) : null],
      [t("order.batches"), pace ? count(pace.batches_max) : null],
      [t("order.attempts"), pace ? count(pace.attempts_max) : null],
      [t("order.heartbeat"), pace?.heartbeat_within > 0 ? seconds(pace.heartbeat_within) : null],
      [t("proof"), h("a", { href: `/v1/proofs/order/${id}` }, t("proof.get"))],
    ])),
    panel(t(side === "bid" ? "why.title" : "why.ask"),
      h("p", {}, why.summary),
      why.misses.length > 0 && table([[t("why.constraint")], [t("why.asks"), true], [t("why.alone"), true], [t("why.change")]], why.misses.map((miss) => [miss.constraint, count(miss.asks), count(miss.alone), miss.change])),
      why.nearest && h("p", { class: "soft" }, t("why.nearest"), " ", orderLink(why.nearest.ask), ` (${tokens(why.nearest.price)}): ${why.nearest.changes.join("; ")}`)),
    panel(t(side === "ask" ? "order.machine" : "order.requirements"), machineFacts(machine)),
  ];
}
