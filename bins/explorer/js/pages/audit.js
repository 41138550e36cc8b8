// What an auditor can check, and how.

import { get } from "../api.js";
import { card, h, panel, table } from "../dom.js";
import { tokens } from "../format.js";
import { t } from "../words.js";

const COMMANDS = ["replay", "supply", "trail", "receipt", "proof", "export"];

export default async function audit() {
  const supply = await get("supply");
  const rows = COMMANDS.map((name) => [h("code", {}, t(`audit.${name}.command`)), t(`audit.${name}.text`)]);
  return [
    t("nav.audit"),
    h("p", { class: "lead" }, t("audit.lead")),
    h("div", { class: "cards" },
      card(tokens(supply.total), t("audit.total")), card(tokens(supply.free), t("audit.free")), card(tokens(supply.held), t("audit.held")), card(tokens(supply.treasury), t("treasury")), card(supply.equal ? "✔" : "✘", t("audit.equal"))),
    panel(t("audit.commands"), table([[t("audit.command")], [t("audit.what")]], rows)),
  ];
}
