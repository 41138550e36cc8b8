// The depth of a book: what stands at each price or better, asks to the right, bids to the left.

import { h, s } from "./dom.js";
import { count, tokens } from "./format.js";
import { t } from "./words.js";

const [WIDTH, HEIGHT, FOOT] = [640, 240, 2];

const stepped = (levels) => {
  let sum = 0;
  return levels.map((level) => ({ price: Number(level.price), sum: (sum += Number(level.units)) }));
};

export function depth(book, label) {
  const asks = stepped(book.asks);
  const bids = stepped(book.bids);
  const all = [...asks, ...bids];
  if (all.length === 0) return null;
  const prices = all.map((level) => level.price);
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const margin = Math.max((high - low) * 0.08, high * 0.02, 1);
  const top = Math.max(...all.map((level) => level.sum));
  const x = (price) => ((price - low + margin) / (high - low + 2 * margin)) * WIDTH;
  const y = (sum) => HEIGHT - FOOT - (sum / top) * (HEIGHT - FOOT - 14);
  const area = (levels, edge) => {
    if (levels.length === 0) return "";
    let path = `M${x(levels[0].price)},${y(0)}`;
    levels.forEach((level, at) => {
      if (at > 0) path += `H${x(level.price)}`;
      path += `V${y(level.sum)}`;
    });
    return `${path}H${edge}V${y(0)}Z`;
  };
  const drawn = s("svg", { class: "depth", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("path", { class: "line-ask", d: area(asks, WIDTH) }),
    s("path", { class: "line-bid", d: area(bids, 0) }),
    s("path", { class: "axis", d: `M0,${y(0)}H${WIDTH}` }));
  // Prices stand below where they begin: the drawing has a margin on both sides.
  const ends = low === high ? [t("chart.one", { price: tokens(low), n: count(top) })] : [tokens(low), t("chart.top", { n: count(top) }), tokens(high)];
  const caption = h("figcaption", {}, ends.map((text) => h("span", {}, text)));
  caption.style.justifyContent = ends.length > 1 ? "space-between" : "center";
  caption.style.paddingInline = `${ends.length > 1 ? (100 * x(low)) / WIDTH : 0}%`;
  return h("figure", {}, drawn, caption);
}
