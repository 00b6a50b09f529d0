/*
 * A process that keeps the packed form of a model: `node child.js MODEL FOLDER [kill]`. It kills itself as `kill -9` would
 * as soon as the engine has begun to write.
 */
import { watch } from 'node:fs';
import { openModel } from '../../src/checkpoint/load.node.ts';
import { keepPacked } from '../../src/generation/decoder.node.ts';

const [model, folder, kill] = process.argv.slice(2) as [string, string, string | undefined];
const opened = await openModel(model);
if (kill) {
  const { mkdirSync } = await import('node:fs');
  mkdirSync(folder, { recursive: true });
  watch(folder, (_, name) => {
    if (name?.includes('.packed.partial-')) process.kill(process.pid, 'SIGKILL');
  });
}
await keepPacked(opened, { threads: 1, layoutCache: { folder, settledMs: 0 } }).catch(() => {});
await opened.checkpoint.tensors.close();
