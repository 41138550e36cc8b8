// The two languages. Every text of the explorer is in `words/*.json`, under the same keys.

const LANGUAGES = { en: "English", zh: "中文" };
let words = {};
let language = "en";

export async function choose(wanted) {
  language = wanted in LANGUAGES ? wanted : "en";
  words = await (await fetch(`words/${language}.json`)).json();
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  try { localStorage.setItem("language", language); } catch { /* private windows may forbid it */ }
}

export function preferred() {
  let stored = null;
  try { stored = localStorage.getItem("language"); } catch { /* as above */ }
  return stored || (navigator.language.startsWith("zh") ? "zh" : "en");
}

/** A text, with `{name}` replaced. A key without a text shows `otherwise`: a name that the chain gave; without that itself, so that a test finds it. */
export function t(key, values, otherwise) {
  const text = words[key] ?? otherwise ?? key;
  return values ? text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "") : text;
}

export const current = () => language;
export const other = () => (language === "en" ? "zh" : "en");
export const nameOf = (which) => LANGUAGES[which];
