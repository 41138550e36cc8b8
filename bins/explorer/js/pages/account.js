// One account: money, roles, orders, deals, history.

import { get } from "../api.js";
import { badge } from "../deals.js";
import { card, h, panel, table } from "../dom.js";
import { block, count, deal, hash, order, tagged, TREASURY, tokens, transaction } from "../format.js";
import { orderLife, roleName, sideName } from "../names.js";
import { t } from "../words.js";

export default async function account(_place, address) {
  const [found, past, orders, deals] = await Promise.all([
    get(`accounts/${address}`), get(`accounts/${address}/history`), get(`orders?account=${address}&limit=50`), get(`deals?account=${address}&limit=50`),
  ]);
  const isProvider = found.roles.includes("provider");
  return [
    address === TREASURY ? t("treasury") : t("account.title"),
    h("p", {}, hash(address)),
    h("div", { class: "cards" },
      card(tokens(found.balance), t("account.balance")),
      card(tokens(found.held), t("account.held")),
      card(count(found.nonce), t("account.nonce")),
      isProvider && card(count(found.reputation), t("account.reputation"))),
    panel(t("account.roles"), found.roles.length
      ? h("div", { class: "row" }, found.roles.map((role) => h("span", { class: "tag" }, roleName(role))))
      : h("p", { class: "soft" }, t("account.no_roles")),
      h("p", {}, h("a", { href: `/v1/proofs/account/${address}` }, t("proof.get")))),
    orders.orders.length > 0 && panel(t("account.orders"), table(
      [[t("order.id"), true], [t("order.side")], [t("order.price"), true], [t("order.open"), true], [t("order.state")]],
      orders.orders.map((one) => {
        const [side, terms] = tagged(one.terms);
        return [order(one.id), sideName(side), tokens(terms.price ?? terms.price_max), count(one.open), orderLife(one)];
      }))),
    deals.deals.length > 0 && panel(t("account.deals"), table(
      [[t("deal.id")], [t("deal.role")], [t("deal.segments"), true], [t("deal.price"), true], [t("deal.state")]],
      deals.deals.map((one) => [
        deal(one.id), roleName(one.provider === address ? "provider" : one.renter === address ? "renter" : "auditor"), count(one.terms.count), tokens(one.terms.price), badge(one),
      ]))),
    panel(t("account.history"), table(
      [[t("tx.block"), true], [t("tx.index"), true], [t("tx.id")]],
      past.rows.map((row) => [block(row.height), count(row.index), row.tx ? transaction(row.tx) : t("account.block")]), t("account.no_history"))),
  ];
}
