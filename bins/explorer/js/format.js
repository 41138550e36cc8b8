// Numbers, names and times as people read them. Amounts are whole micro-tokens, as strings or numbers.

import { h, link } from "./dom.js";
import { current, t } from "./words.js";

const locale = () => (current() === "zh" ? "zh-CN" : "en");

export const count = (value) => new Intl.NumberFormat(locale()).format(value);

/** Micro-tokens as tokens, all six places where they matter. */
export function tokens(micro) {
  const value = BigInt(micro ?? 0);
  const rest = (value % 1000000n).toString().padStart(6, "0").replace(/0+$/, "");
  const whole = new Intl.NumberFormat(locale()).format(value / 1000000n);
  return rest ? `${whole}.${rest}` : whole;
}

/** Fuel as Gf: 10⁹ units. */
export const gigafuel = (fuel) => `${new Intl.NumberFormat(locale(), { maximumFractionDigits: 2 }).format(fuel / 1e9)} Gf`;

export function time(ms) {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "medium" }).format(new Date(ms));
}

export const seconds = (ms) => new Intl.NumberFormat(locale(), { style: "unit", unit: "second", maximumFractionDigits: 1 }).format(ms / 1000);

export function ago(ms) {
  const seconds = Math.round((Date.now() - ms) / 1000);
  if (seconds < 2) return t("time.now");
  const relative = new Intl.RelativeTimeFormat(locale(), { numeric: "always", style: "short" });
  if (seconds < 90) return relative.format(-seconds, "second");
  if (seconds < 5400) return relative.format(-Math.round(seconds / 60), "minute");
  if (seconds < 129600) return relative.format(-Math.round(seconds / 3600), "hour");
  return relative.format(-Math.round(seconds / 86400), "day");
}

export const short = (text) => (text.length > 20 ? `${text.slice(0, 10)}…${text.slice(-4)}` : text);
export const hash = (value) => h("code", { title: value }, value);
export const shortHash = (value) => h("code", { title: value }, `${value.slice(0, 8)}…`);
export const TREASURY = "gs1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq3dfj3n";
export const account = (address) =>
  link(`accounts/${address}`, address === TREASURY ? t("treasury") : short(address), { class: "mono", title: address });
export const block = (height) => link(`blocks/${height}`, count(height));
export const transaction = (id) => link(`tx/${id}`, `${id.slice(0, 10)}…`, { class: "mono", title: id });
export const order = (id) => link(`orders/${id}`, `#${id}`);
export const deal = (id) => link(`deals/${id}`, t("deal.n", { id }));
export const job = (id) => link(`jobs/${id}`, t("job.n", { id }));
export const className = (kind) => `${kind.unit}/${kind.arch}${kind.gpu === null ? "" : `/gpu${kind.gpu}`}`;

/** The one key of a tagged value, and what is under it: `"resting"` or `{"settled": {…}}`. */
export function tagged(value) {
  if (value === null || typeof value !== "object") return [String(value ?? "–"), {}];
  const [name] = Object.keys(value);
  return [name, value[name] ?? {}];
}
