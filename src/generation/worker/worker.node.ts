/** The program of a model's worker thread, started by `load`. */
import { parentPort } from 'node:worker_threads';
import { loadHere } from '../load-here.node.ts';
import type { ParkRequest, Request } from './model-protocol.ts';
import { ModelServer } from './serve-model.ts';

const port = parentPort!;
const server = new ModelServer(
  {
    post: (reply, transfer = []) => port.postMessage(reply, transfer),
    close,
  },
  loadHere,
);
port.on('message', (request: Request | ParkRequest) => {
  if (request.type === 'park') park(request.parked);
  else server.receive(request);
});

/** Ends the thread. In Deno, a worker's port has no `close`; the global one is used instead. */
function close(): void {
  if (typeof port.close === 'function') port.close();
  else (globalThis as { close?: () => void }).close?.();
}

function park(parked: Int32Array): void {
  Atomics.store(parked, 0, 1);
  Atomics.notify(parked, 0);
  Atomics.wait(parked, 0, 1);
}
