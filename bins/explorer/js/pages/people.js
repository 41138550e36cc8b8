// Who holds which role, attested by whom and until when.

import { get } from "../api.js";
import { h, panel, table } from "../dom.js";
import { account, time } from "../format.js";
import { roleName } from "../names.js";
import { t } from "../words.js";

export default async function people() {
  const { identities } = await get("identities");
  const rows = identities.map((one) => [account(one.address), h("span", { class: "tag" }, roleName(one.role)), account(one.issuer), time(one.expires_at)]);
  return [
    t("nav.people"),
    h("p", { class: "lead" }, t("people.lead")),
    panel(null, table([[t("account.title")], [t("people.role")], [t("people.issuer")], [t("people.until")]], rows, t("people.none"))),
  ];
}
