// A worker over REST, with nothing beyond Node 20. It runs a module's `handle` on each task:
//
//     HMS_API=http://127.0.0.1:8470 HMS_TOKEN=hms_... QUEUE=passport.photo node worker.mjs ./mine.mjs
//
// What it returns is the result. What it throws fails the attempt: for good if it is
// `retryable: false`, else the queue's settings say. Without a module there is a small one here.

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const API = (process.env.HMS_API ?? "http://127.0.0.1:8470").replace(/\/+$/, "");
const TOKEN = process.env.HMS_TOKEN;
const QUEUE = process.env.QUEUE ?? "passport.photo";
const SLOTS = Number(process.env.SLOTS ?? 10);
const WORKER = `node-${hostname()}-${process.pid}`.replace(/[^A-Za-z0-9._-]/g, "-").slice(0, 128);
const STOP_WITHIN_MS = 20_000;

// A task's `traceparent`, if it has one, goes with what a handler asks of others, as a header.
async function validate({ payload }, signal) {
  await sleep(payload.ms ?? 100, undefined, { signal }); // give `signal` to all that takes time
  if (!String(payload.file).endsWith(".jpg")) {
    throw Object.assign(new Error("Not a JPEG"), { retryable: false });
  }
  return { note: "Photo OK" };
}

// Everything below is the same for every worker.

const given = process.argv[2];
const { handle } = given ? await import(pathToFileURL(resolve(given))) : { handle: validate };

class Refused extends Error {
  retryable = false;
}

const log = (...words) => console.error("[worker.mjs]", ...words);
const stopping = new AbortController();

// Ask until there is an answer: each call may be repeated, since tokens and numbers make it one.
async function call(path, body, { withinMs = 10_000, signal } = {}) {
  const headers = { "content-type": "application/json" };
  if (TOKEN) headers.authorization = `Bearer ${TOKEN}`;
  for (;;) {
    let why;
    try {
      const limits = [AbortSignal.timeout(withinMs), ...(signal ? [signal] : [])];
      const response = await fetch(`${API}/oms/${path}`, {
        method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.any(limits),
      });
      const answer = await response.json();
      if (response.ok) return answer;
      why = `${response.status} ${answer.code ?? ""} ${answer.detail ?? answer.title}`;
      if (response.status < 500 && ![408, 425, 429].includes(response.status)) {
        throw Object.assign(new Refused(why), { status: response.status });
      }
    } catch (error) {
      if (error instanceof Refused || signal?.aborted) throw error;
      why = error.cause?.message ?? error.message;
    }
    log(`${path}, again: ${why}`);
    await sleep(250 + 750 * Math.random(), undefined, { signal });
  }
}

// Calls are numbered, so that one whose answer was lost is repeated and gives the same tasks.
const numbered = { incarnation: randomBytes(16).toString("hex"), lane: 1, seq: 0 };

async function pop(max) {
  numbered.seq += 1;
  const body = { queue: QUEUE, max, worker: WORKER, ...numbered };
  try {
    const asked = { withinMs: 30_000, signal: stopping.signal };
    const { tasks, drain } = await call("pop", { ...body, wait: "20s" }, asked);
    if (drain && !tasks.length) await sleep(1_000, undefined, { signal: stopping.signal });
    return tasks;
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    return (await call("pop", { ...body, wait: 0 })).tasks; // what we were given meanwhile
  }
}

async function settle(how, body) {
  try {
    const { state } = await call(how, body);
    log(`task ${body.id} is ${state}`);
  } catch (error) {
    if (![404, 409].includes(error.status)) throw error;
    log(`task ${body.id}: ${how} came too late: ${error.message}`);
  }
}

async function keepLease(task, lease, leave, ended) {
  while (!ended.aborted) {
    try {
      await sleep(task.lease_ms / 3, undefined, { signal: ended });
      const { answer } = await call("heartbeat", { ...lease, worker: WORKER }, { signal: ended });
      if (answer === "cancel" || answer === "lost") leave.abort(new Error(answer));
    } catch (error) {
      if (!ended.aborted) log(`heartbeat of ${task.id}: ${error.message}`);
    }
  }
}

async function work(task) {
  const lease = { id: task.id, token: task.token };
  const leave = new AbortController();
  const ended = new AbortController();
  const signal = AbortSignal.any([leave.signal, stopping.signal]);
  const keeping = keepLease(task, lease, leave, ended.signal);
  try {
    signal.throwIfAborted();
    await settle("complete", { ...lease, result: await handle(task, signal) });
  } catch (error) {
    if (signal.aborted) {
      await settle("release", lease); // at a stop the attempt is not counted; a cancel is over
    } else {
      const retryable = error?.retryable !== false;
      const fault = { reason: String(error?.message ?? error), type: error?.name ?? "Error" };
      await settle("fail", { ...lease, ...fault, traceback: String(error?.stack ?? ""), retryable });
    }
  } finally {
    ended.abort();
    await keeping;
  }
}

function stop() {
  stopping.abort(new Error("stopping"));
  // Whatever does not come to its end keeps its lease, and is rescued when that is over.
  setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
}
process.once("SIGTERM", stop).once("SIGINT", stop);

const running = new Set();
log(`works for ${QUEUE} at ${API}`);
while (!stopping.signal.aborted) {
  for (const task of await pop(SLOTS - running.size)) {
    const one = work(task)
      .catch((error) => log(`task ${task.id}: ${error.message}`))
      .finally(() => running.delete(one));
    running.add(one);
  }
  if (running.size >= SLOTS) await Promise.race(running);
}
await Promise.all(running);
