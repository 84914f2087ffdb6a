// A client that is never limited: it waits until its next request fits.
//
//     TOLLGATE_URL=http://127.0.0.1:8080 TOLLGATE_API_KEY=tk_…:tks_… node obedient.mjs 20 3
//
// sends 20 requests that cost 3 tokens each, one after the other, and says how many were allowed.

import { setTimeout as sleep } from "node:timers/promises";

const CLOCKS_APART_MS = 5; // what two clocks may run apart, on top of what the node's figures say
const ATTEMPTS_MAX = 4;

/** The items of a list header, `"name";a=1;b=2, …`: name to parameters. */
function items(header) {
  const found = new Map();
  for (const item of (header ?? "").split(",")) {
    const named = item.match(/^\s*"([^"]*)"(.*)$/);
    if (!named) continue;
    const parameters = named[2].matchAll(/;\s*(\w+)=(\d+)/g);
    found.set(named[1], Object.fromEntries([...parameters].map(([, name, value]) => [name, Number(value)])));
  }
  return found;
}

/** How long after an answer with these headers a request of this cost is certain to fit. */
function waitMs(headers, cost) {
  const policies = items(headers.get("RateLimit-Policy"));
  let longest = 0;
  for (const [name, limit] of items(headers.get("RateLimit"))) {
    const missing = cost - limit.r;
    if (missing <= 0) continue;
    const policy = policies.get(name);
    if (cost > policy.q) throw new Error(`a cost of ${cost} can never pass: limit ${name} has a burst of ${policy.q}`);
    const refilledMs = (missing * policy.w * 1000) / policy.q;
    longest = Math.max(longest, Math.min(refilledMs, limit.t * 1000) + CLOCKS_APART_MS);
  }
  return Math.ceil(longest);
}

/** Sends one request and returns the headers of its answer; comes back later where it is told to. */
async function send(url, apiKey, cost) {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await fetch(`${url}/v1/authorize?cost=${cost}`, {
      headers: { authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(30_000),
    });
    if (answer.ok) return answer.headers;
    // 429: somebody else spends from the same limit. A 503 may have been charged, and no other
    // answer will ever be another.
    if (answer.status !== 429 || attempt === ATTEMPTS_MAX) throw new Error(`${answer.status}: ${await answer.text()}`);
    await sleep(Number(answer.headers.get("Retry-After")) * 1000);
  }
}

const [requests, cost] = process.argv.slice(2).map(Number);
const { TOLLGATE_URL: url, TOLLGATE_API_KEY: apiKey } = process.env;
let headers = new Headers();
for (let sent = 0; sent < requests; sent += 1) {
  await sleep(waitMs(headers, cost));
  headers = await send(url, apiKey, cost);
}
console.log(`${requests} allowed`);
