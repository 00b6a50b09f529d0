import { describe, expect, it } from 'vitest';
import { roundedActivations } from '../../../test/helpers/int8-activations.ts';
import { type EmitOptions, emitModel } from '../../onnx/emit.ts';
import { dequantizeMatrix } from '../../onnx/quantize.ts';
import { newQuantizedArrays, type QuantizedMatrix, quantizedSource } from '../../onnx/weights.ts';
import { nodeEngine } from '../../runtime/engine.node.ts';
import { createSessions } from '../../runtime/engine.ts';
import { Executable, type HostTensor } from '../../runtime/executable.ts';
import { differentiate } from '../differentiate.ts';
import { sizeOf } from '../dims.ts';
import { evaluate } from '../evaluate.ts';
import { lowerings } from '../lowerings/table.ts';
import { apply, type Dialect, type Example, type Operator, type Tensor } from '../tensor.ts';
import type { Values } from '../values.ts';
import {
  add,
  constant,
  gatherRows,
  input,
  matmul,
  mul,
  parameter,
  reduceSum,
  reshape,
  scatterRows,
  slice,
} from './index.ts';
import { operators } from './table.ts';

const engine = nodeEngine({ threads: 2 });

/** A small deterministic generator; the values are as good as any. */
function generator(seed: number) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function makeInputs(operator: Operator, example: Example<object>) {
  const random = generator(operator.name.length * 7919 + example.inputs.length);
  const [low, high] = example.range ?? [-2, 2];
  return example.inputs.map((type, i) => {
    const shape = type.shape as number[];
    const tensor = input(`x${i}`, type.dtype as 'float32' | 'int64' | 'int32', shape);
    const given = example.values?.[i];
    const data = given
      ? Float64Array.from(given)
      : Float64Array.from({ length: sizeOf(shape) }, () =>
          type.dtype === 'float32'
            ? Math.fround(low + (high - low) * random())
            : Math.floor(random() * (example.below ?? 4)),
        );
    return { tensor, value: { shape, data } };
  });
}

type Made = ReturnType<typeof makeInputs>;

function feedsOf(made: Made): Map<Tensor, Values> {
  return new Map(made.map(({ tensor, value }) => [tensor, value]));
}

function hostTensor({ tensor, value }: Made[number]): HostTensor {
  const { shape, data } = value;
  if (tensor.dtype === 'float32') return { shape, data: Float32Array.from(data) };
  if (tensor.dtype === 'int32') return { shape, data: Int32Array.from(data) };
  return { shape, data: BigInt64Array.from(Array.from(data, BigInt)) };
}

async function runEngine(outputs: readonly Tensor[], made: Made): Promise<HostTensor[]> {
  const named = new Map(outputs.map((output, i) => [`y${i}`, output]));
  const executable = await Executable.compile(engine, named);
  const results = await executable.run(Object.fromEntries(made.map((m, i) => [`x${i}`, hostTensor(m)])));
  await executable.release();
  return outputs.map((_, i) => results[`y${i}`]!);
}

/** The same as a dialect's operators, run by the kernels that the CPU has for them. */
async function runAs(outputs: readonly Tensor[], made: Made, options: EmitOptions): Promise<HostTensor[]> {
  const { bytes, inputs, provided } = emitModel(
    new Map(outputs.map((output, i) => [`y${i}`, output])),
    options,
  );
  const [session] = await createSessions(engine, [{ bytes, provided }], {});
  const { Tensor } = engine.runtime;
  const feeds = made.flatMap((each, i) => {
    const { data, shape } = hostTensor(each);
    // An expansion need not read all inputs.
    return inputs.has(`x${i}`)
      ? [[`x${i}`, new Tensor(each.tensor.dtype as 'float32', data as Float32Array, shape)]]
      : [];
  });
  const wanted = outputs.map((_, i) => [`y${i}`, null]);
  const results = await session!.run(Object.fromEntries(feeds), Object.fromEntries(wanted));
  await session!.release();
  return outputs.map((_, i) => ({
    data: results[`y${i}`]!.data as Float32Array,
    shape: results[`y${i}`]!.dims,
  }));
}

function expectClose(actual: ArrayLike<number>, expected: Float64Array, tolerance: number) {
  const size = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-3);
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
  expect(worst / size).toBeLessThan(tolerance);
}

/** A scalar that depends on every primary output, each element by a different factor. */
function probe(outputs: readonly Tensor[]): Tensor {
  return outputs
    .map((output, i) => {
      const shape = output.shape as number[];
      const random = generator(31 + i);
      const factors = constant(
        Float64Array.from({ length: sizeOf(shape) }, () => random() - 0.5),
        shape,
      );
      const weighted = mul(output, factors);
      const axes = shape.map((_, axis) => axis);
      return axes.length === 0 ? weighted : reshape(reduceSum(weighted, axes), []);
    })
    .reduce((sum, term) => add(sum, term));
}

const tried = [...operators.values(), ...(lowerings.values() as Iterable<Operator>)].flatMap((operator) =>
  operator.examples.map((example, i) => ({ name: `${operator.name} #${i}`, operator, example })),
);

/** What an operator does not have is no test, rather than a skipped one. */
function ignore(_name: string, _test: (dialect: Dialect) => void): void {}

describe.each(tried)('$name', ({ operator, example }) => {
  const made = makeInputs(operator, example);
  const inputs = made.map(({ tensor }) => tensor);
  const outputs = apply(operator, inputs, example.attributes);
  const primary = outputs.slice(0, operator.primaryOutputs ?? outputs.length);

  it('gives the same result on the engine as in float64', async () => {
    const shown = operator.lower || operator.expand ? outputs : primary;
    const expected = evaluate(shown, feedsOf(made));
    const actual = await runEngine(shown, made);
    shown.forEach((output, i) => {
      expect(actual[i]!.shape).toEqual(output.shape);
      expect(expected[i]!.shape).toEqual(output.shape);
      expectClose(actual[i]!.data as Float32Array, expected[i]!.data, 3e-6);
    });
  });

  const written =
    operator.lower || operator.expand ? it.each<Dialect>(['webgpu', 'library', 'standard']) : () => ignore;
  written('gives it in the %s dialect too', async (dialect) => {
    const expected = evaluate(outputs, feedsOf(made));
    const actual = await runAs(outputs, made, { dialect });
    outputs.forEach((output, i) => {
      expect(actual[i]!.shape).toEqual(output.shape);
      expectClose(actual[i]!.data as Float32Array, expected[i]!.data, 3e-6);
    });
  });

  const both = operator.expand && operator.evaluate;
  (both ? it : ignore)('has a value equal to its expansion', () => {
    const direct = evaluate(outputs, feedsOf(made));
    const expanded = evaluate(operator.expand!(inputs, example.attributes), feedsOf(made));
    direct.forEach((value, i) => {
      expectClose(value.data, expanded[i]!.data, 1e-12);
    });
  });

  (operator.differentiate ? it : ignore)('has the derivative that finite differences give', async () => {
    const loss = probe(primary);
    const sources = inputs.filter((tensor) => tensor.dtype === 'float32');
    const gradients = differentiate(loss, sources);
    expect(gradients.some((gradient) => gradient !== undefined)).toBe(true);
    for (const [i, source] of sources.entries()) {
      const gradient = gradients[i];
      if (!gradient) continue;
      const [exact] = evaluate([gradient], feedsOf(made));
      const value = feedsOf(made).get(source)!;
      const numeric = value.data.map((_, at) => {
        const shifted = (delta: number) => {
          const data = value.data.slice();
          data[at]! += delta;
          return evaluate([loss], new Map(feedsOf(made)).set(source, { ...value, data }))[0]!.data[0]!;
        };
        return (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
      });
      expectClose(exact!.data, numeric, 1e-6);
      const [onEngine] = await runEngine([gradient], made);
      expectClose(onEngine!.data as Float32Array, exact!.data, 1e-5);
    }
  });
});

it.each<Dialect>(['webgpu', 'onnxruntime', 'standard'])(
  'slices integers in the %s dialect',
  async (dialect) => {
    const made = [
      {
        tensor: input('x0', 'int32', [7]),
        value: { shape: [7], data: Float64Array.of(8, 7, 3, 0, 5, 1, 2) },
      },
      {
        tensor: input('x1', 'float32', [9, 2]),
        value: { shape: [9, 2], data: Float64Array.from({ length: 18 }, (_, i) => i) },
      },
    ];
    const [ids, table] = made.map(({ tensor }) => tensor) as [Tensor, Tensor];
    const [rows] = await runAs([gatherRows(table, slice(ids, 0, 2, -1))], made, { dialect });
    expect([...rows!.data].map(Number)).toEqual([6, 7, 0, 1, 10, 11, 2, 3]);
  },
);

it('adds up more rows than one product takes, with the same bits for rows of one id', async () => {
  const count = 5000;
  const random = generator(7);
  const made = [
    {
      tensor: input('x0', 'int32', [count]),
      value: { shape: [count], data: Float64Array.from({ length: count }, () => Math.floor(9 * random())) },
    },
    {
      tensor: input('x1', 'float32', [count, 2]),
      value: { shape: [count, 2], data: Float64Array.from({ length: 2 * count }, () => random() - 0.5) },
    },
  ];
  const [ids, rows] = made.map(({ tensor }) => tensor) as [Tensor, Tensor];
  const sum = scatterRows(ids, rows, 11);
  const [exact] = evaluate([sum], feedsOf(made));
  const [actual] = await runAs([sum], made, { dialect: 'webgpu' });
  expectClose(actual!.data as Float32Array, exact!.data, 1e-5);
});

/** A quantized matrix in which every part is random. */
function randomMatrix(
  form: Omit<QuantizedMatrix, 'data' | 'scales'>,
  parts: { zeroPoints?: boolean; offsets?: boolean },
) {
  const random = generator(form.columns * 31 + form.block + form.bits);
  const arrays = newQuantizedArrays({
    ...form,
    hasZeroPoints: !!parts.zeroPoints,
    hasOffsets: !!parts.offsets,
  });
  const { data, zeroPoints, scales, offsets } = arrays;
  for (const bytes of [data, zeroPoints]) bytes?.set(Uint8Array.from(bytes, () => 256 * random()));
  for (const floats of [scales, offsets]) floats?.set(Float32Array.from(floats, () => random() - 0.5));
  return { ...form, ...arrays };
}

const productsInFewBits = ([8, 4] as const).flatMap((bits) =>
  ([{}, { zeroPoints: true }, { offsets: true }] as const).flatMap((parts) =>
    ([[32, 64], ...('offsets' in parts ? [] : [[32, 80]])] as const).flatMap(([block, columns]) =>
      [false, true].flatMap((exact) =>
        (['onnxruntime', 'webgpu'] as const).map((dialect) => ({
          bits,
          parts,
          block: block!,
          columns: columns!,
          exact,
          dialect,
        })),
      ),
    ),
  ),
);

type Product = (typeof productsInFewBits)[number];

/**
 * Activations as the kernel of a product takes them: rounded to 8 bits; exactly; or, where there is no exact kernel, as their
 * 8-bit rounding and that of the remainder.
 */
function taken(data: Float64Array, { exact, bits, dialect, columns, block }: Product): Float64Array {
  if (exact && (bits === 4 || dialect === 'webgpu')) return data;
  const rounded = roundedActivations(data, columns, block);
  if (!exact) return rounded;
  const rest = roundedActivations(
    data.map((value, i) => value - rounded[i]!),
    columns,
    block,
  );
  return rounded.map((value, i) => value + rest[i]!);
}

describe.each(productsInFewBits)(
  'a product in $bits bits, $columns columns, $parts, exact $exact, $dialect',
  (each) => {
    const { bits, parts, block, columns, exact, dialect } = each;
    it.each([[[3, columns]], [[2, 3, columns]]])(
      'is that of the numbers that the bits stand for, x %j',
      async (shape) => {
        const rows = 5;
        const matrix = randomMatrix({ rows, columns, bits, block }, parts);
        const random = generator(columns);
        const data = Float64Array.from({ length: sizeOf(shape) }, () => Math.fround(4 * random() - 2));
        const x = input('x0', 'float32', shape);
        const by = (values: ArrayLike<number>, weight: Float32Array) =>
          evaluate(
            [matmul(x, constant(weight, [rows, columns]), { transB: true })],
            new Map([[x, { shape, data: Float64Array.from(values) }]]),
          )[0]!;
        const { offsets, ...centered } = matrix;
        const expected = by(taken(data, each), dequantizeMatrix(centered));
        if (offsets) {
          // They are multiplied by the sums of blocks, which are not rounded.
          const spread = Float32Array.from(
            { length: rows * columns },
            (_, i) => offsets[Math.floor(i / block)]!,
          );
          by(data, spread).data.forEach((value, i) => {
            expected.data[i]! += value;
          });
        }
        const y = matmul(x, parameter('weight', [rows, columns]), { transB: true });
        const weights = new Map([['weight', { quantized: { ...quantizedSource(matrix), exact } }]]);
        const [actual] = await runAs([y], [{ tensor: x, value: { shape, data } }], { dialect, weights });
        expect(actual!.shape).toEqual(expected.shape);
        expectClose(actual!.data as Float32Array, expected.data, 3e-6);
      },
    );
  },
);

it('a product with a scale or a zero point of a neighboring block is far outside the bound above', () => {
  for (const bits of [8, 4] as const) {
    const form = { rows: 5, columns: 64, bits, block: 32 };
    const right = randomMatrix(form, { zeroPoints: true });
    const random = generator(9);
    const x = input('x0', 'float32', [3, 64]);
    const data = Float64Array.from({ length: 3 * 64 }, () => Math.fround(4 * random() - 2));
    const product = (matrix: QuantizedMatrix) =>
      evaluate(
        [matmul(x, constant(dequantizeMatrix(matrix), [5, 64]), { transB: true })],
        new Map([[x, { shape: [3, 64], data }]]),
      )[0]!.data;
    const shifted = <T extends Float32Array | Uint8Array>(values: T) => {
      const moved = values.slice() as T;
      moved[1] = values[0]!;
      return moved;
    };
    for (const wrong of [
      { ...right, scales: shifted(right.scales) },
      { ...right, zeroPoints: shifted(right.zeroPoints!) },
    ]) {
      expect(() => expectClose(product(wrong), product(right), 1e-3)).toThrow();
    }
  }
});
