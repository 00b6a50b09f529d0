/*
 * A training run for tests to kill: `node child.js <out> <never|if there|must> <n> [model]`; with a model it is fine-tuned. It kills itself, as `kill -9`
 * would, at its n-th operation on files (never for 0): a write is cut in the middle, a rename dies before it is made or
 * after. It prints each step and how many operations there were before it.
 */

import { writeSync } from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import type { RunOptions } from '../../src/training/runs/run-job.node.ts';

type Write = (bytes: Uint8Array, offset: number, length: number) => Promise<unknown>;

const [out, resume, at, model] = process.argv.slice(2) as [
  string,
  NonNullable<RunOptions['resume']>,
  string,
  string?,
];
const deadly = Number(at);
let operations = 0;

const die = () => process.kill(process.pid, 'SIGKILL');
const isDeadly = () => ++operations === deadly;

const { open, rename, rm, appendFile } = promises;
Object.assign(promises, {
  open: async (...args: Parameters<typeof open>) => {
    const handle = await open(...args);
    const write = handle.write.bind(handle) as Write;
    const sync = handle.sync.bind(handle);
    return Object.assign(handle, {
      write: async (bytes: Uint8Array, offset: number, length: number) => {
        if (isDeadly()) {
          await write(bytes, offset, length >> 1);
          die();
        }
        return write(bytes, offset, length);
      },
      sync: async () => {
        if (isDeadly()) die();
        return sync();
      },
    });
  },
  rename: async (...args: Parameters<typeof rename>) => {
    const deadlyNow = isDeadly();
    if (deadlyNow && deadly % 2 === 0) die();
    await rename(...args);
    if (deadlyNow) die();
  },
  rm: async (...args: Parameters<typeof rm>) => {
    if (isDeadly()) die();
    return rm(...args);
  },
  appendFile: async (path: string, text: string) => {
    if (isDeadly()) {
      await appendFile(path, text.slice(0, text.length >> 1));
      die();
    }
    return appendFile(path, text);
  },
});
// What the library imports by name from node:fs/promises is now what stands above.
syncBuiltinESMExports();

const say = (step: number) => writeSync(1, `step ${step} after ${operations}\n`);
if (model === undefined) {
  const { runToEnd, smallRun } = await import('./training-run.node.ts');
  await runToEnd(smallRun(out, resume), say);
} else {
  const { smallFinetune } = await import('./finetune-run.node.ts');
  await smallFinetune(model, { out, resume }, say);
}
