// Building elements. Text goes in as text, never as markup: what is shown comes from strangers.

/** An element with attributes and children; strings become text, `null` and `false` are left out. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== false && child !== undefined));
  return element;
}

/** The same for drawings. */
export function s(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, attributes);
  element.append(...children.flat(Infinity));
  return element;
}

function fill(element, attributes) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

/** A link inside the explorer. */
export const link = (path, text, attributes) => h("a", { href: `#/${path}`, ...attributes }, text);

/** A titled box. */
export const panel = (title, ...children) => h("section", { class: "panel" }, title && h("h2", {}, title), ...children);

/** One number with what it is. */
export const card = (value, label) => h("div", { class: "card" }, h("b", {}, value), h("span", {}, label));

/** A table. Columns are `[title, isNumber]`; rows are lists of cells. */
export function table(columns, rows, empty) {
  if (rows.length === 0) return h("p", { class: "soft" }, empty);
  const kind = (at) => (columns[at][1] ? { class: "n" } : {});
  const head = columns.map(([title], at) => h("th", { scope: "col", ...kind(at) }, title));
  const body = rows.map((row) => h("tr", {}, row.map((cell, at) => h("td", kind(at), cell))));
  return h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body));
}

/** Names and values. Rows are `[name, value]`; a row without a value is left out. */
export function facts(rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", {}, shown.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
