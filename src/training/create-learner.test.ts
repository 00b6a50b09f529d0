import { describe, expect, it } from 'vitest';
import { familyByName } from '../families/registry.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import { BlockLearner } from './blocks/block-learner.ts';
import { createLearner } from './create-learner.ts';
import { Sgd } from './optimizers/optimizer.ts';
import { WholeGraphLearner } from './whole-graph-learner.ts';

const engine = nodeEngine({ threads: 1 });
const llama = familyByName('llama');
const shape = { batch: 1, seq: 8 };

describe('createLearner', () => {
  it.each([
    [undefined, WholeGraphLearner],
    ['fast', WholeGraphLearner],
    ['recompute', BlockLearner],
    ['light', BlockLearner],
  ] as const)('chooses the learner for a small model by memory mode %s', async (memory, kind) => {
    const model = llama.build(llama.presets.tiny!.config);
    const made = await createLearner(engine, model, shape, memory && { memory });
    expect(made).toBeInstanceOf(kind);
    expect([...(await made.values()).keys()]).toEqual([...model.parameters().keys()]);
    const rows = { inputs: new Int32Array(8), targets: new Int32Array(8) };
    const settings = { optimizer: new Sgd(), learningRate: 1, clip: 1 };
    const twice = made.step([rows, rows], settings);
    if (memory === 'light') await expect(twice).rejects.toThrow(/2 micro-batches/);
    // All weights are zero: every token of the vocabulary is as likely.
    else expect((await twice).loss).toBeCloseTo(Math.log(512), 5);
    await made.release();
  });

  it('bounds the memory of a large model', async () => {
    const config = { ...llama.presets.tiny!.config, vocab_size: 400_000 };
    const made = await createLearner(engine, llama.build(config), shape);
    expect(made).toBeInstanceOf(BlockLearner);
    await made.release();
  });
});
