import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { Executable } from '../src/runtime/executable.ts';
import { contextFeeds, lossFeeds } from '../src/training/feeds.ts';
import { lossGraph } from '../src/training/graph.ts';
import { FAMILIES } from './helpers/families.ts';

/** Texts packed into one row are to each other as if they were alone. That each alone is right: parity.test.ts. */

const engine = nodeEngine({ threads: 1 });
const VOCAB = 96;
const LENGTHS = [13, 9, 10];
const SEQ = 32;

describe('several texts packed into a row', () => {
  it.each(FAMILIES)('have the losses of separate rows: %s', async (name) => {
    const opened = await openModel(fileURLToPath(new URL(`./reference/${name}`, import.meta.url)));
    const { model } = opened;
    const weights = new Map(
      [...model.parameters()].map(([path, { size }]) => [path, new Float32Array(size)]),
    );
    await readWeights(opened, weights);
    await opened.checkpoint.tensors.close();
    const parameters = Object.fromEntries(
      [...model.parameters()].map(([path, { shape }]) => [path, { data: weights.get(path)!, shape }]),
    );
    const random = new Random(3);
    const ids = Array.from({ length: SEQ + 1 }, () => random.nextInt(VOCAB));
    const losses = async (texts: readonly number[], packed: boolean, queryBlock: number) => {
      const seq = texts.reduce((sum, length) => sum + length, 0);
      const shape = { batch: 1, seq, queryBlock, packed };
      const { perToken } = lossGraph(model, shape);
      const executable = await Executable.compile(engine, new Map([['losses', perToken]]));
      const start = packed
        ? 0
        : LENGTHS.slice(0, LENGTHS.indexOf(seq)).reduce((sum, length) => sum + length, 0);
      const rows = {
        inputs: Int32Array.from(ids.slice(start, start + seq)),
        targets: Int32Array.from(ids.slice(start + 1, start + seq + 1)),
        positions: Int32Array.from(texts.flatMap((length) => Array.from({ length }, (_, i) => i))),
        segments: Float32Array.from(texts.flatMap((length, text) => new Array<number>(length).fill(text))),
      };
      const feeds = { ...contextFeeds(rows, shape), ...lossFeeds(rows, 1), ...parameters };
      const { losses } = await executable.run(feeds);
      await executable.release();
      return [...(losses!.data as Float32Array)];
    };
    const alone: number[] = [];
    for (const length of LENGTHS) alone.push(...(await losses([length], false, 128)));
    for (const queryBlock of [5, 128]) {
      const together = await losses(LENGTHS, true, queryBlock);
      const worst = Math.max(...together.map((loss, i) => Math.abs(loss - alone[i]!)));
      expect(worst).toBeLessThan(1e-5);
    }
  });
});
