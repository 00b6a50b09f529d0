import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { weightSources } from '../src/checkpoint/weight-sources.node.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { prefill } from '../src/generation/generate.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';

const model = fileURLToPath(new URL('../src/checkpoint/fixtures/sharded-llama', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'ropewalk-hub-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The last logits after a few tokens, the engine reading the weights from the checkpoint's files. */
async function logits(path: string): Promise<number[]> {
  const opened = await openModel(path);
  const { weights, folder } = await weightSources(opened);
  const options = folder === undefined ? {} : { weightsFolder: folder };
  const decoder = await Decoder.create(nodeEngine({ threads: 1 }), opened.model, weights, options);
  await opened.checkpoint.tensors.close();
  const last = await prefill(decoder, decoder.newCache(), [1, 5, 9, 2], 4);
  await decoder.release();
  return Array.from(last);
}

it("opening a model in the hub's cache follows the links from a snapshot into the blobs", async () => {
  const snapshot = join(folder, 'snapshots', 'abc');
  mkdirSync(snapshot, { recursive: true });
  mkdirSync(join(folder, 'blobs'));
  for (const [i, name] of readdirSync(model).entries()) {
    await cp(join(model, name), join(folder, 'blobs', `blob${i}`)); // the hub's are hashes, without an extension
    symlinkSync(`../../blobs/blob${i}`, join(snapshot, name));
  }
  const expected = await logits(model);
  expect(expected.some((value) => value !== 0)).toBe(true);
  expect(await logits(snapshot)).toEqual(expected);
});
