/*
 * A process that opens a tokenizer with a cache of layouts: `node child.js TOKENIZER FOLDER [KILL]`. It prints the ids of
 * a text, or kills itself as `kill -9` would instead of its KILL-th write.
 */
import { open } from 'node:fs/promises';
import { openTokenizer } from '../../src/checkpoint/tokenizer.node.ts';

const [path, folder, kill] = process.argv.slice(2) as [string, string, string | undefined];
if (kill !== undefined) {
  const handle = await open(path);
  const files = Object.getPrototypeOf(handle) as typeof handle;
  await handle.close();
  const { write } = files;
  let writes = 0;
  files.write = function (this: typeof handle, ...args: never[]) {
    if (++writes === Number(kill)) process.kill(process.pid, 'SIGKILL');
    return Reflect.apply(write, this, args);
  } as typeof write;
}
const tokenizer = await openTokenizer(path, { layoutCache: { folder, leastTokens: 1, settledMs: 0 } });
process.stdout.write(JSON.stringify(tokenizer.encode('abab가\n😀x0')));
