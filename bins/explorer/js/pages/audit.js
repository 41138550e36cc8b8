// What looks odd, what an auditor can check, and how.

import { get } from "../api.js";
import { card, h, panel, table } from "../dom.js";
import { account, count, deal, tagged, tokens } from "../format.js";
import { t } from "../words.js";

const COMMANDS = ["replay", "supply", "trail", "receipt", "proof", "export"];

/** Whom something odd is about, and which deal. */
const about = (odd) => [odd.renter, odd.provider].filter(Boolean).map(account).concat(odd.deal === undefined ? [] : deal(odd.deal));

function oddity(anomaly) {
  const [kind, odd] = tagged(anomaly);
  const said = { ...odd, price: tokens(odd.price), median: tokens(odd.median), failed: count(odd.failed ?? 0), deals: count(odd.deals ?? 0) };
  return [t(`audit.odd.${kind}`, null, kind), about(odd).flatMap((part, at) => [at > 0 && " · ", part]), t(`audit.odd.${kind}.text`, said, "")];
}

export default async function audit() {
  const [supply, odd] = await Promise.all([get("supply"), get("anomalies")]);
  const rows = COMMANDS.map((name) => [h("code", {}, t(`audit.${name}.command`)), t(`audit.${name}.text`)]);
  return [
    t("nav.audit"),
    h("p", { class: "lead" }, t("audit.lead")),
    h("div", { class: "cards" },
      card(tokens(supply.total), t("audit.total")), card(tokens(supply.free), t("audit.free")), card(tokens(supply.held), t("audit.held")), card(tokens(supply.treasury), t("treasury")), card(supply.equal ? "✔" : "✘", t("audit.equal"))),
    panel(t("audit.odd"),
      table([[t("audit.odd.what")], [t("audit.odd.who")], [t("audit.odd.detail")]], odd.anomalies.map(oddity), t("audit.odd.none")),
      h("p", { class: "soft" }, t("audit.odd.among", { n: count(odd.deals), least: count(odd.oddness.deals_min) }))),
    panel(t("audit.commands"), table([[t("audit.command")], [t("audit.what")]], rows)),
  ];
}
