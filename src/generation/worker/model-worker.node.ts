import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { RopewalkError } from '../../errors.ts';
import { refuseTelemetry } from '../../runtime/telemetry.node.ts';
import { ModelEnded } from '../model-ended.ts';
import type { ModelPort } from './model-connection.ts';
import type { ParkRequest, Reply } from './model-protocol.ts';

/** The thread's program is next to this file, both in the package and where scripts and tests built it. */
const PROGRAM = new URL('./worker.node.js', import.meta.url);

/** @throws RopewalkError if a bundler separated this file from the thread's program. */
export function startWorker(): Worker {
  if (!existsSync(PROGRAM)) {
    throw new RopewalkError(
      `the program of the model's thread is not at ${fileURLToPath(PROGRAM)}: this code has been bundled. Keep the package ropewalk external to the bundle, or load the model with loadHere().`,
    );
  }
  // The engine reads the process's environment, of which the thread only has a copy.
  refuseTelemetry();
  // A thread inherits Node's options, but refuses the one for the language of `node --eval`.
  const evaluated = process.execArgv.some((option) => option.startsWith('--input-type'));
  const worker = new Worker(PROGRAM, { name: 'ropewalk', ...(evaluated && { execArgv: [] }) });
  alive.add(worker);
  process.off('exit', parkAll).on('exit', parkAll);
  worker.once('exit', () => alive.delete(worker));
  return worker;
}

/** The longest that a run of the engine may take. */
const LONGEST_RUN = 60_000;

const alive = new Set<Worker>();

/**
 * Brings a thread to a point where it can be terminated: terminating it during a call to the engine kills the
 * process, because the call cannot return. Waits for the current run, as the end of the process would.
 */
export function park(worker: Worker): void {
  const parked = new Int32Array(new SharedArrayBuffer(4));
  const request: ParkRequest = { type: 'park', parked };
  worker.postMessage(request);
  Atomics.wait(parked, 0, 0, LONGEST_RUN);
}

/** When a process ends, it terminates its threads. */
function parkAll(): void {
  for (const worker of alive) park(worker);
}

export function workerPort(worker: Worker): ModelPort {
  return {
    post: (request) => worker.postMessage(request),
    listen(onReply, onEnd) {
      let failure: unknown;
      worker.on('message', (reply: Reply) => onReply(reply));
      worker.on('error', (error) => {
        failure = error;
      });
      worker.on('exit', (code) => {
        const why = failure === undefined ? `it exited with code ${code}` : messageOf(failure);
        onEnd(
          new ModelEnded(`the model's thread has ended: ${why}. Load the model again.`, {
            cause: failure,
          }),
        );
      });
    },
    ref: () => worker.ref(),
    unref: () => worker.unref(),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
