/*
 * A process that opens a model with a cache of layouts: `node child.js MODEL FOLDER [KILL]`. It prints the hash of the
 * logits of a few tokens, or kills itself as `kill -9` would while it reads the KILL-th weight.
 */
import { createHash } from 'node:crypto';
import { openModel } from '../../src/checkpoint/load.node.ts';
import { createDecoder } from '../../src/generation/decoder.node.ts';

const [model, folder, kill] = process.argv.slice(2) as [string, string, string | undefined];
const opened = await openModel(model);
let read = 0;
const decoder = await createDecoder(opened, {
  threads: 1,
  layoutCache: { folder, minimumBytes: 0, settledMs: 0 },
  onProgress() {
    read++;
    if (read === Number(kill)) process.kill(process.pid, 'SIGKILL');
  },
});
const logits = await decoder.forward([5, 42, 15, 52, 25], decoder.newCache(), 'all');
process.stdout.write(createHash('sha256').update(logits).digest('hex'));
await decoder.release();
await opened.checkpoint.tensors.close();
