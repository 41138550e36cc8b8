// A job's segments as tiles: done, drawn for re-execution.

import { done, samples } from "./deals.js";
import { h } from "./dom.js";
import { t } from "./words.js";

const TILES_MAX = 4096;

/** The tiles of a job with so many segments; of one that draws a picture as many in a row, and of the same shape, as there. */
export function tiles(segments, deals, drawing) {
  if (segments > TILES_MAX) return null;
  const marks = new Array(segments).fill("");
  for (const deal of deals) {
    for (let at = 0; at < done(deal); at++) marks[deal.terms.first + at] = "done";
    for (const sample of samples(deal)) marks[sample.segment] = "done drawn";
  }
  const count = marks.filter((mark) => mark.startsWith("done")).length;
  const grid = h("div", { class: "tiles", role: "img", "aria-label": t("job.tiles", { done: count, count: segments }) }, marks.map((mark) => h("i", { class: mark || null })));
  grid.style.gridTemplateColumns = `repeat(${drawing?.columns ?? Math.min(32, Math.ceil(Math.sqrt(segments) * 1.4))}, minmax(3px, 1fr))`;
  if (drawing) grid.style.setProperty("--shape", drawing.shape);
  return grid;
}
