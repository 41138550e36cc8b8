// The API, from its own description.

import { h, panel } from "../dom.js";
import { t } from "../words.js";

const METHODS = ["get", "post", "put", "delete"];

export default async function api() {
  const response = await fetch("/openapi.json");
  if (!response.ok) return [t("nav.api"), h("p", { class: "lead" }, t("api.none"))];
  const described = await response.json();
  const paths = Object.entries(described.paths).map(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => {
      const operation = item[method];
      const parameters = (operation.parameters ?? []).map((one) => h("li", {}, h("code", {}, one.name), ` · ${one.in} · ${one.description ?? ""}`));
      const curl = `curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${location.origin}${path}`;
      return panel(null,
        h("h2", {}, h("span", { class: "tag" }, method.toUpperCase()), " ", h("code", {}, path)),
        h("p", {}, operation.summary ?? operation.description ?? ""), parameters.length > 0 && h("ul", {}, parameters), h("pre", {}, curl));
    }));
  return [t("nav.api"), h("p", { class: "lead" }, t("api.lead")), h("p", {}, h("a", { href: "/openapi.json" }, "/openapi.json")), paths];
}
