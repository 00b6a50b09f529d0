import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { afterAll, describe, expect, it } from 'vitest';
import { emitModel } from '../onnx/emit.ts';
import { Random } from '../random.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import type { SessionSettings } from '../runtime/engine.ts';
import { Executable, type HostTensor } from '../runtime/executable.ts';
import { differentiate } from './differentiate.ts';
import { barrier, input, linear, mul, parameter, reduceSum, reshape, tanh } from './operators/index.ts';
import type { Tensor } from './tensor.ts';

/**
 * Recomputation: the backward pass computes the activations once more behind a barrier, so that those of the forward
 * pass need not be kept. That is worth something only if nobody merges the two again: not we, not the engine.
 */

const x = input('x', 'float32', [4, 8]);
const first = parameter('first', [16, 8]);
const second = parameter('second', [6, 16]);
/** The gradient that reaches the block from behind. */
const dy = input('dy', 'float32', [4, 6]);
const zero = input('zero', 'float32', []);

const block = (from: Tensor) => tanh(linear(tanh(linear(from, first)), second));

/** The block's output, and the gradients of its input and weights by way of `from`, a value equal to x. */
function outputsVia(from: Tensor): Map<string, Tensor> {
  const scalarProduct = reshape(reduceSum(mul(block(from), dy), [0, 1]), []);
  const [dfrom, dfirst, dsecond] = differentiate(scalarProduct, [from, first, second]);
  return new Map([
    ['y', block(x)],
    ['dx', dfrom!],
    ['dfirst', dfirst!],
    ['dsecond', dsecond!],
  ]);
}

const kept = outputsVia(x);
const recomputed = outputsVia(barrier(x, dy, zero));

const MATMULS = ['MatMul', 'FusedMatMul', 'Gemm'];

function matmulsIn(outputs: Map<string, Tensor>, dialect: 'onnxruntime' | 'standard'): number {
  const { graph } = fromBinary(ModelProtoSchema, emitModel(outputs, { dialect }).bytes);
  return graph!.node.filter(({ opType }) => MATMULS.includes(opType)).length;
}

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-recompute-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(outputs: Map<string, Tensor>, settings: SessionSettings) {
  const profile = join(folder, `profile${readdirSync(folder).length}-`);
  const executable = await Executable.compile(nodeEngine({ threads: 1 }), outputs, { ...settings, profile });
  const random = new Random(1);
  const feeds: Record<string, HostTensor> = {};
  for (const [name, { shape }] of executable.inputs) {
    const sizes = shape as number[];
    const size = sizes.reduce((product, dim) => product * dim, 1);
    const data = Float32Array.from({ length: size }, () => (name === 'zero' ? 0 : random.next() - 0.5));
    feeds[name] = { data, shape: sizes };
  }
  const results = await executable.run(feeds);
  executable.endProfiling();
  await executable.release();
  const file = readdirSync(folder).find((name) => join(folder, name).startsWith(profile))!;
  const events = JSON.parse(readFileSync(join(folder, file), 'utf8')) as {
    name: string;
    args?: { op_name?: string };
  }[];
  const executed = events.filter(
    ({ name, args }) => name.endsWith('_kernel_time') && MATMULS.includes(args?.op_name ?? ''),
  ).length;
  return { results, executed };
}

describe('recomputing a block of two layers', () => {
  // Forward 2; backward 4: one for each layer's input and one for its weight.
  it.each(['onnxruntime', 'standard'] as const)(
    'repeats its matrix products once behind a barrier (%s)',
    (dialect) => {
      expect(matmulsIn(kept, dialect)).toBe(6);
      expect(matmulsIn(recomputed, dialect)).toBe(8);
    },
  );

  it('merges the copies into one without a barrier', () => {
    // The same program, written with its own second forward pass.
    expect(matmulsIn(outputsVia(x), 'onnxruntime')).toBe(6);
  });

  it('gives the same bits either way, and the engine really computes them again', async () => {
    const plain = await run(kept, {});
    const again = await run(recomputed, { recomputes: true });
    expect(plain.executed).toBe(6);
    expect(again.executed).toBe(8);
    for (const name of kept.keys()) {
      expect(again.results[name]!.data, name).toEqual(plain.results[name]!.data);
      expect(
        plain.results[name]!.data.some((value) => value !== 0),
        name,
      ).toBe(true);
    }
  });
});
