// What a machine has, or what an order asks of one.

import { facts, h } from "./dom.js";
import { count } from "./format.js";
import { t } from "./words.js";

/** All 64 regions: the order asks for none of them. */
const ANYWHERE = 2n ** 64n - 1n;

const bits = (mask) => Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (BigInt(mask) >> BigInt(bit)) & 1n);
const capability = (bit) => t(`capability.${bit}`, null, t("capability.other", { bit }));

function row([key, value]) {
  if (key === "regions") return [t("machine.regions"), BigInt(value) >= ANYWHERE ? null : bits(value).join(", ")];
  if (key === "region") return [t("machine.region"), count(value)];
  if (key === "capabilities") return [t("machine.capabilities"), bits(value).map(capability).join(" · ")];
  return [t(`machine.${key.replace(/_(min|max)$/, "")}`, null, key), value ? count(value) : null];
}

/** As names and values; what is not asked for, or not there, is left out. */
export function machine(one) {
  const rows = Object.entries(one ?? {}).map(row).filter(([, value]) => value);
  return rows.length > 0 ? facts(rows) : h("p", { class: "soft" }, t("machine.any"));
}
