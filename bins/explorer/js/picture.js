// A job's picture, put together from the outputs of its segments. The outputs are bytes from strangers: only pixels are taken from them.

import { blob, get } from "./api.js";
import { h } from "./dom.js";
import { tagged } from "./format.js";

const EDGE_MAX = 4096;

/** The scene of a ray-tracing job: six numbers as text. `null` if the job's input is not that. */
async function scene(spec) {
  const shared = spec.shape?.map?.input?.shared;
  if (!shared) return null;
  const bytes = await blob(shared);
  if (!bytes || bytes.length > 128) return null;
  const numbers = new TextDecoder().decode(bytes).trim().split(" ").map(Number);
  const [width, height, columns, rows] = numbers;
  const isScene = numbers.length === 6 && numbers.every(Number.isSafeInteger) && width > 0 && height > 0 && width <= EDGE_MAX && height <= EDGE_MAX;
  return isScene && columns * rows === spec.shape.map.segments ? { width, height, columns, rows } : null;
}

/** Where a segment's tile lies: edges as the guest cuts them. */
function tile({ width, height, columns, rows }, segment) {
  const edge = (length, parts, at) => Math.floor((length * at) / parts);
  const [column, row] = [segment % columns, Math.floor(segment / columns)];
  const [x, y] = [edge(width, columns, column), edge(height, rows, row)];
  return { x, y, width: edge(width, columns, column + 1) - x, height: edge(height, rows, row + 1) - y };
}

function place(context, area, pixels) {
  if (pixels.length !== area.width * area.height * 3) return;
  const image = context.createImageData(area.width, area.height);
  for (let at = 0; at < area.width * area.height; at++) {
    image.data.set([pixels[3 * at], pixels[3 * at + 1], pixels[3 * at + 2], 255], 4 * at);
  }
  context.putImageData(image, area.x, area.y);
}

/** A canvas that fills with the tiles of committed deals, or `null` if the job draws no picture. */
export async function picture(spec, deals, label) {
  const plan = await scene(spec);
  if (!plan) return null;
  const canvas = h("canvas", { class: "picture", width: plan.width, height: plan.height, role: "img", "aria-label": label });
  const context = canvas.getContext("2d");
  const drawn = new Map();
  /** Fetches what has been committed since. */
  const update = async (deals) => {
    for (const deal of deals) {
      const [, state] = tagged(deal.state);
      // Batch after batch commits a list of its own.
      if (!state.receipts || drawn.get(deal.id) === state.receipts) continue;
      drawn.set(deal.id, state.receipts);
      const list = await get(`deals/${deal.id}/receipts`).catch(() => null);
      if (!list) { drawn.delete(deal.id); continue; }
      await Promise.all(list.receipts.map(async (receipt) => {
        const pixels = receipt.status === "ok" ? await blob(receipt.output) : null;
        if (pixels) place(context, tile(plan, receipt.segment), pixels);
      }));
    }
    canvas.dataset.deals = String(drawn.size);
  };
  update(deals).catch(() => {});
  return { canvas, columns: plan.columns, shape: (plan.width * plan.rows) / (plan.height * plan.columns), update };
}
