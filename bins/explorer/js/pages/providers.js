// Providers: what they offer and how they have done.

import { get } from "../api.js";
import { h, panel, table } from "../dom.js";
import { account, count, order, time, tokens } from "../format.js";
import { t } from "../words.js";

export default async function providers() {
  const [{ providers }, { orders }] = await Promise.all([get("providers"), get("orders?state=open&side=ask&limit=1000")]);
  const rows = providers.map((one) => {
    const asks = orders.filter((ask) => ask.owner === one.address);
    const machine = asks[0]?.terms.ask.machine;
    return [
      account(one.address),
      machine ? t("providers.machine", { cores: count(machine.cpu_cores), gib: count(machine.memory_mib / 1024) }) : "–",
      asks.length ? asks.map((ask, at) => [at > 0 && " · ", order(ask.id), ` ${tokens(ask.terms.ask.price)} × ${count(ask.open)}`]) : t("providers.no_asks"),
      count(one.reputation),
      time(one.vetted_until),
    ];
  });
  return [
    t("nav.providers"),
    h("p", { class: "lead" }, t("providers.lead")),
    panel(null, table([[t("role.provider")], [t("providers.capacity")], [t("providers.asks")], [t("account.reputation"), true], [t("providers.vetted")]], rows, t("providers.none"))),
  ];
}
