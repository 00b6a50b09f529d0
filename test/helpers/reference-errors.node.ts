import { fileURLToPath } from 'node:url';
import { openModel, readWeights } from '../../src/checkpoint/load.node.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors/safetensors-file.ts';
import { weightSources } from '../../src/checkpoint/weight-sources.node.ts';
import { FileSource } from '../../src/files/file.node.ts';
import { createDecoder } from '../../src/generation/decoder.node.ts';
import type { Decoder } from '../../src/generation/decoder.ts';
import { fullLogits } from '../../src/generation/score.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { WholeGraphLearner } from '../../src/training/whole-graph-learner.ts';
import { dequantizedDecoder } from './dequantized.node.ts';
import { norm, relativeError } from './numbers.ts';

/** How far an engine is from a reference case, each as a share of the largest expected value. */
export interface ReferenceErrors {
  /** Logits of whole sequences, from transformers. */
  readonly full: number;
  /** Logits over a cache: a prompt, a piece of several tokens, then one by one, past every window. */
  readonly cached: number;
  /** Gradients of all weights, from PyTorch in float64. */
  readonly gradients: number;
}

/** @param name a folder of test/reference. */
export async function referenceErrors(engine: Engine, name: string): Promise<ReferenceErrors> {
  const path = fileURLToPath(new URL(`../reference/${name}`, import.meta.url));
  const opened = await openModel(path);
  const expected = await openSafetensors(await FileSource.open(`${path}/expected.safetensors`));
  try {
    const [, seq] = expected.tensors.get('ids')!.shape as [number, number];
    const all = Int32Array.from(await expected.readInts('ids'));
    const ids = all.subarray(0, seq);
    const logits = (await expected.readFloat32('logits')).subarray(0, seq * opened.config.vocab_size);

    const { weights, folder, close } = await weightSources(opened);
    const settings = folder === undefined ? {} : { weightsFolder: folder };
    let full = Number.NaN;
    for await (const rows of fullLogits(engine, opened.model, weights, ids, settings))
      full = relativeError(rows.logits, logits);
    close();

    const decoder = await createDecoder(opened, { engine, layoutCache: false });
    const cache = decoder.newCache();
    const rows: number[] = [];
    let start = 0;
    for (const end of [5, 8, ...Array.from({ length: seq - 8 }, (_, i) => i + 9)]) {
      rows.push(...(await decoder.forward(ids.subarray(start, end), cache, 'all')));
      start = end;
    }
    await decoder.release();

    const learner = await WholeGraphLearner.create(engine, opened.model, { batch: all.length / seq, seq });
    await readWeights(opened, learner.values());
    const targets = all.map((_, i) => all[(i + 1) % all.length]!);
    const weight = Float32Array.from(all, (_, i) => (i % seq === seq - 1 ? 0 : 1));
    await learner.computeGradients([{ inputs: all, targets, weights: weight }]);
    let [wrong, whole] = [0, 0];
    for (const { name: parameter, gradient } of learner.trainables) {
      const exact = await expected.readFloat32(`grad.${opened.names.get(parameter)}`);
      wrong += norm(exact.map((value, i) => gradient[i]! - value)) ** 2;
      whole += norm(exact) ** 2;
    }
    await learner.release();
    return { full, cached: relativeError(rows, logits), gradients: Math.sqrt(wrong / whole) };
  } finally {
    await expected.close();
    await opened.checkpoint.tensors.close();
  }
}

/** How far logits with quantized weights are from those of the dequantized weights on the CPU, in 8 and in 4 bits. */
export async function quantizedErrors(engine: Engine, name: string): Promise<{ int8: number; int4: number }> {
  const path = fileURLToPath(new URL(`../reference/${name}`, import.meta.url));
  const opened = await openModel(path);
  try {
    const ids = Int32Array.from({ length: 12 }, (_, i) => (i * 7) % opened.config.vocab_size);
    const logitsOf = async (decoder: Decoder) => {
      const rows = await decoder.forward(ids, decoder.newCache(), 'all');
      await decoder.release();
      return rows;
    };
    const errorOf = async (bits: 8 | 4) => {
      const quantize = { bits, block: 32 } as const;
      const expected = await logitsOf(await dequantizedDecoder(nodeEngine({ threads: 1 }), opened, quantize));
      const how = { engine, quantize, activations: 'exact', layoutCache: false } as const;
      return relativeError(await logitsOf(await createDecoder(opened, how)), expected);
    };
    return { int8: await errorOf(8), int4: await errorOf(4) };
  } finally {
    await opened.checkpoint.tensors.close();
  }
}
