// What a program in TypeScript would do with the generated types: read, page, and be refused.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [url, address] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url });

function must<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(`refused: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

const status = must(await client.GET("/v1/status"));
if (!(status.height >= 1) || status.peers.length !== 3) throw new Error(`status: ${JSON.stringify(status)}`);
const account = must(await client.GET("/v1/accounts/{address}", { params: { path: { address: address! } } }));
if (!(BigInt(account.balance) > 0n)) throw new Error(`balance: ${account.balance}`);
const blocks = must(await client.GET("/v1/blocks", { params: { query: { limit: 1 } } }));
if (blocks.blocks.length !== 1) throw new Error("one block was asked for");
const block = must(await client.GET("/v1/blocks/{height}", { params: { path: { height: blocks.blocks[0]!.height } } }));
if (block.hash !== blocks.blocks[0]!.hash) throw new Error("the same block has two hashes");
const book = must(await client.GET("/v1/book/{unit}/{arch}", { params: { path: { unit: "giga-fuel", arch: "wasm" } } }));
if (book.class.arch !== "wasm") throw new Error("another book");
const missing = await client.GET("/v1/orders/{id}", { params: { path: { id: 999999 } } });
if (missing.response.status !== 404 || missing.error?.code !== "not-found") throw new Error("a missing order is 404 with a code");
console.log(`TypeScript: height ${status.height}, ${account.balance} micro-tokens`);
