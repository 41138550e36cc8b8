// Providers: what they offer and how they have done.

import { get } from "../api.js";
import { isOver } from "../deals.js";
import { h, panel, table } from "../dom.js";
import { account, count, order, time, tokens } from "../format.js";
import { t } from "../words.js";

const DEALS = 200;

export default async function providers() {
  const [{ providers }, { orders }, { deals }] = await Promise.all([get("providers"), get("orders?state=open&side=ask&limit=1000"), get(`deals?limit=${DEALS}`)]);
  const rows = providers.map((one) => {
    const asks = orders.filter((ask) => ask.owner === one.address);
    const machine = asks[0]?.terms.ask.machine;
    const own = deals.filter((deal) => deal.provider === one.address);
    const failed = deals.filter((deal) => (deal.tried ?? []).some(([tried]) => tried === one.address)).length;
    const stars = own.filter((deal) => deal.of_provider).map((deal) => deal.of_provider.stars);
    return [
      account(one.address),
      machine ? t("providers.machine", { cores: count(machine.cpu_cores), gib: count(machine.memory_mib / 1024) }) : "–",
      asks.length ? asks.map((ask, at) => [at > 0 && " · ", order(ask.id), ` ${tokens(ask.terms.ask.price)} × ${count(ask.open)}`]) : t("providers.no_asks"),
      count(one.reputation),
      count(own.filter((deal) => !isOver(deal)).length),
      count(own.filter((deal) => "settled" in deal.state).length),
      count(failed),
      stars.length ? t("rating.mean", { stars: (stars.reduce((a, b) => a + b) / stars.length).toFixed(1), n: count(stars.length) }) : "–",
      time(one.vetted_until),
    ];
  });
  const columns = [
    [t("role.provider")], [t("providers.capacity")], [t("providers.asks")], [t("account.reputation"), true],
    [t("providers.now"), true], [t("providers.settled"), true], [t("providers.failed"), true], [t("rating.title")], [t("providers.vetted")],
  ];
  return [
    t("nav.providers"),
    h("p", { class: "lead" }, t("providers.lead")),
    panel(null, table(columns, rows, t("providers.none")), h("p", { class: "soft" }, t("providers.recent", { n: count(DEALS) }))),
  ];
}
