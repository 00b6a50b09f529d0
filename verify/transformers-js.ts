/**
 * transformers.js loads the output of `ropewalk export --to onnx`, and its greedy continuations have our ids.
 *
 *     node scripts/run-ts.js verify/transformers-js.ts FOLDER MODEL...
 *
 * FOLDER is where `npm install @huggingface/transformers@4.3.1` was run, MODEL any model directory of a family that
 * transformers.js has a class for, such as those that verify/small-models.ts trains; for other families, the export
 * must say so. transformers-js.txt records the output. Exits with 1 if ids differ.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { exportOnnx } from '../src/export/onnx.node.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import { argmax } from '../src/generation/sampler.ts';

const [folder, ...models] = process.argv.slice(2);
if (!folder || models.length === 0) throw new Error('usage: verify/transformers-js.ts FOLDER MODEL...');
const CHILD = fileURLToPath(new URL('./transformers-js.child.mjs', import.meta.url));
const PROMPT = 'Once upon a time, the king';
const NEW_TOKENS = 64;

const scratch = mkdtempSync(join(tmpdir(), 'ropewalk-transformers-js-'));
let failed = false;
try {
  for (const path of models) await verify(path);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(failed ? 'FAILED' : 'all as they should be');
process.exit(failed ? 1 : 0);

async function verify(path: string): Promise<void> {
  const opened = await openModel(path);
  const name = basename(path);
  const out = join(scratch, name);
  const { notes } = await exportOnnx(opened, out);
  const tokenizer = (await tokenizerOf(opened.checkpoint))!;
  const decoder = await createDecoder(opened, { threads: 2 });
  await opened.checkpoint.tensors.close();
  const prompt = tokenizer.encode(PROMPT);
  const cache = decoder.newCache();
  const ours: number[] = [];
  for (let next: readonly number[] = prompt; ours.length < NEW_TOKENS; ) {
    const id = argmax(await decoder.forward(next, cache));
    ours.push(id);
    next = [id];
  }
  await decoder.release();
  const { ids, encoded, error } = await theirs(out);
  if (!opened.family.transformersJs) {
    const said = notes.some((note) => note.includes('transformers.js'));
    if (!said || error === undefined) failed = true;
    console.log(`${name.padEnd(12)} said: ${notes.join(' ')} transformers.js: ${error ?? 'it loads'}`);
    return;
  }
  const same = ids?.findIndex((id, i) => id !== ours[i]);
  const right = error === undefined && same === -1 && encoded!.join() === prompt.join();
  if (!right) failed = true;
  const text = JSON.stringify(tokenizer.decode(ours)).slice(0, 60);
  console.log(
    `${name.padEnd(12)} ${right ? `the same prompt of ${prompt.length} tokens and ${NEW_TOKENS} greedy ids` : `DIFFERS: ${error ?? `at token ${same}`}`} ${text}`,
  );
}

interface Answer {
  readonly ids?: number[];
  readonly encoded?: number[];
  readonly error?: string;
}

/** In a separate process, because two versions of ONNX Runtime cannot coexist in one. */
async function theirs(model: string): Promise<Answer> {
  const child = spawn(process.execPath, [CHILD, resolve(folder!), model, PROMPT, String(NEW_TOKENS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const piece of child.stdout) text += String(piece);
  return JSON.parse(text.trim().split('\n').at(-1)!) as Answer;
}
