/** The program of a model's worker thread: what `load` starts. */
import { parentPort } from 'node:worker_threads';
import { loadHere } from './load-here.node.ts';
import type { Request } from './model-protocol.ts';
import { ModelServer } from './serve-model.ts';

const port = parentPort!;
const server = new ModelServer(
  {
    post: (reply, transfer = []) => port.postMessage(reply, transfer),
    close: () => port.close(),
  },
  loadHere,
);
port.on('message', (request: Request) => server.receive(request));
