import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { RopewalkError } from '../errors.ts';
import { refuseTelemetry } from '../runtime/telemetry.node.ts';
import type { ModelPort } from './model-connection.ts';
import type { Reply } from './model-protocol.ts';

/** The program of the thread lies beside this one: in the package, and where scripts and tests have built it. */
const PROGRAM = new URL('./worker.node.js', import.meta.url);

/** @throws RopewalkError where a bundler has taken this file away from the thread's program. */
export function startWorker(): Worker {
  if (!existsSync(PROGRAM)) {
    throw new RopewalkError(
      `the program of the model's thread is not at ${fileURLToPath(PROGRAM)}: this code has been bundled. Keep the package ropewalk external to the bundle, or load the model by loadHere().`,
    );
  }
  // The engine reads the process's environment, of which the thread has only a copy.
  refuseTelemetry();
  // A thread inherits Node's options, and refuses the one that says what language `node --eval` is given.
  const evaluated = process.execArgv.some((option) => option.startsWith('--input-type'));
  return new Worker(PROGRAM, { name: 'ropewalk', ...(evaluated && { execArgv: [] }) });
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
          new RopewalkError(`the model's thread has ended: ${why}. Load the model again.`, {
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
