// What `worker.mjs` runs in tests: it notes what it does, as the handlers of the other workers do.

import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

function note(word, task) {
  const line = {
    word, id: task.id, token: task.token, attempt: task.attempt, crashes: task.crashes,
    pid: process.pid, at: Number(process.hrtime.bigint()), claimed_ms: Date.now(),
    payload: task.payload,
  };
  const file = openSync(process.env.FAULTS_JOURNAL, "a");
  writeSync(file, `${JSON.stringify(line)}\n`);
  fsyncSync(file);
  closeSync(file);
}

export async function handle(task, signal) {
  note("start", task);
  try {
    await sleep(1_000 * task.payload.s, undefined, { signal });
  } catch (error) {
    note("cut", task);
    throw error;
  }
  note("end", task);
}
