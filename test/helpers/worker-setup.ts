import { buildWorker, SOURCES } from '../../scripts/build-worker.js';

/** Before any test: the program of the worker thread that `load` starts, as the sources are now. */
export default async function setup(): Promise<void> {
  await buildWorker(SOURCES);
}
