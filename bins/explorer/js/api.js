// The node's API: questions, and the stream of what happens.

/** What the node answered instead of what was asked for: `{code, field, limit, got, message}`. */
export class ApiError extends Error {
  constructor(body, status) {
    super(body.message || `HTTP ${status}`);
    this.body = body;
    this.status = status;
  }
}

export async function get(path) {
  const response = await fetch(`/v1/${path}`, { headers: { accept: "application/json" } });
  const body = parse(await response.text());
  if (!response.ok) throw new ApiError(body, response.status);
  return body;
}

/** JSON, or nothing. Integers that a JavaScript number cannot hold stay as they were written, where the browser says how. */
function parse(text) {
  const exact = (_key, value, context) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source ? context.source : value;
  try { return JSON.parse(text, exact); } catch { return {}; }
}

/** A blob's bytes, or nothing if this node does not have it. */
export async function blob(hash) {
  const response = await fetch(`/v1/blobs/${hash}`);
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : null;
}

const listeners = new Set();
const states = new Set();

/** Calls back with `{height, events: [{height, tx, event}]}` for every block from now on; returns what ends that. */
export function onBlock(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

/** Calls back with whether the stream is open. */
export function onState(callback) {
  states.add(callback);
}

/** Opens the stream. After an interruption the browser resumes it with the id of the last event: nothing is missed. */
export function listen() {
  const source = new EventSource("/v1/events");
  source.addEventListener("open", () => states.forEach((tell) => tell(true)));
  source.addEventListener("error", () => {
    states.forEach((tell) => tell(false));
    // A node that refuses ends the stream for good: try anew.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
  source.addEventListener("chain", (message) => {
    const block = JSON.parse(message.data);
    listeners.forEach((tell) => tell(block));
  });
}
