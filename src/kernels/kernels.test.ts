import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RopewalkError } from '../errors.ts';
import { HostMemory } from '../runtime/host-memory.ts';
import { sharedKernels } from './kernel-module.ts';
import type { AdamWCoefficients } from './kernels.ts';
import { adamw, addInto, addRows, fill, scale, sgd, sumOfSquares } from './kernels.ts';

const memory = new HostMemory();

/** Any float32 that is not NaN, subnormal and infinite ones included, with ordinary sizes the more likely. */
const anyFloat = fc.oneof(
  { weight: 4, arbitrary: fc.float({ min: -10, max: 10, noNaN: true }) },
  { weight: 1, arbitrary: fc.float({ noNaN: true }) },
);
/** Lengths around every unrolling and tail: at most 16 elements a turn. */
const length = fc.integer({ min: 0, max: 67 });

function arraysOf(count: number, value = anyFloat): fc.Arbitrary<Float32Array[]> {
  return length.chain((n) =>
    fc.tuple(
      ...Array.from({ length: count }, () =>
        fc.array(value, { minLength: n, maxLength: n }).map((list) => Float32Array.from(list)),
      ),
    ),
  );
}

function onWasm(arrays: readonly Float32Array[]): Float32Array[] {
  const group = memory.allocGroup(arrays.map(({ length }) => length));
  group.forEach((view, i) => {
    view.set(arrays[i]!);
  });
  expect(sharedKernels(group[0]!, ...group)).toBeDefined();
  return group;
}

/** The bits of float32s, with every NaN alike: WebAssembly and JavaScript leave a NaN's sign open. */
function bits(arrays: readonly Float32Array[]): number[][] {
  return arrays.map((array) => {
    const words = new Uint32Array(array.slice().buffer);
    return Array.from(words, (word, i) => (Number.isNaN(array[i]) ? 0x7fc00000 : word));
  });
}

/** The kernel leaves the same bits in arrays on WebAssembly memory as in plain ones. */
function expectSameBits(arrays: readonly Float32Array[], kernel: (arrays: Float32Array[]) => unknown): void {
  const plain = arrays.map((array) => array.slice());
  const wasm = onWasm(arrays);
  expect(kernel(wasm)).toEqual(kernel(plain));
  expect(bits(wasm)).toEqual(bits(plain));
}

describe('kernels on WebAssembly memory and in plain JavaScript agree to the bit', () => {
  const unit = fc.double({ min: 0, max: 0.9999, noNaN: true });
  const coefficients: fc.Arbitrary<AdamWCoefficients> = fc.record({
    lr: fc.double({ min: 0, max: 1, noNaN: true }),
    beta1: unit,
    beta2: unit,
    eps: fc.double({ min: 0, max: 1e-3, noNaN: true }),
    weightDecay: fc.double({ min: 0, max: 1, noNaN: true }),
    biasCorrection1: fc.double({ min: 1e-4, max: 1, noNaN: true }),
    biasCorrection2: fc.double({ min: 1e-4, max: 1, noNaN: true }),
    gradScale: fc.double({ min: 0, max: 2, noNaN: true }),
  });

  it('for adamw', () => {
    fc.assert(
      fc.property(arraysOf(4), coefficients, (arrays, settings) => {
        const valid = [arrays[0]!, arrays[1]!, arrays[2]!, arrays[3]!.map(Math.abs)];
        expectSameBits(valid, ([p, g, m, v]) => adamw(p!, g!, m!, v!, settings));
      }),
      { numRuns: 300 },
    );
  });

  it('for sgd', () => {
    fc.assert(
      fc.property(arraysOf(2), unit, unit, (arrays, lr, gradScale) => {
        expectSameBits(arrays, ([p, g]) => sgd(p!, g!, lr, gradScale));
      }),
    );
  });

  it('for sumOfSquares', () => {
    fc.assert(
      fc.property(arraysOf(1), (arrays) => {
        expectSameBits(arrays, ([x]) => sumOfSquares(x!));
      }),
    );
  });

  it('for addInto, scale and fill', () => {
    fc.assert(
      fc.property(arraysOf(2), anyFloat, (arrays, s) => {
        expectSameBits(arrays, ([a, b]) => addInto(a!, b!));
        expectSameBits(arrays, ([a]) => scale(a!, s));
        expectSameBits(arrays, ([a]) => fill(a!, s));
      }),
    );
  });

  it('for addRows with repeated ids', () => {
    const shapes = fc.record({
      width: fc.integer({ min: 1, max: 19 }),
      ids: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 12 }),
      seed: fc.array(anyFloat, { minLength: 50, maxLength: 50 }),
    });
    fc.assert(
      fc.property(shapes, ({ width, ids, seed }) => {
        const value = (i: number) => seed[i % seed.length]!;
        const dst = Float32Array.from({ length: 5 * width }, (_, i) => value(i));
        const rows = Float32Array.from({ length: ids.length * width }, (_, i) => value(3 * i + 1));
        const wasmIds = memory.allocInt32(ids.length);
        wasmIds.set(ids);
        const [wasmDst, wasmRows] = onWasm([dst, rows]);
        const together = sharedKernels(wasmDst!, wasmIds, wasmRows!) !== undefined;
        addRows(wasmDst!, wasmIds, wasmRows!, width);
        addRows(dst, Int32Array.from(ids), rows, width);
        expect(bits([wasmDst!])).toEqual(bits([dst]));
        return together;
      }),
    );
  });
});

describe('the kernels', () => {
  it('keep a sum of squares that float32 would lose', () => {
    // 1 + 2^20 squares of 2^-12: exactly 1 + 2^-4; summed in float32 every term after the first would round away.
    const x = memory.allocFloat32(2 ** 20 + 1);
    fill(x, 2 ** -12);
    x[0] = 1;
    expect(sumOfSquares(x)).toBe(1 + 2 ** -4);
  });

  it('write nothing outside their views', () => {
    const all = memory.allocFloat32(64);
    const middle = all.subarray(5, 42);
    fill(middle, 1);
    addInto(middle, middle);
    scale(middle, 3);
    expect([...all]).toEqual(Array.from({ length: 64 }, (_, i) => (i >= 5 && i < 42 ? 6 : 0)));
  });

  it('accept views of different memories', () => {
    const other = new HostMemory().allocFloat32(9).fill(2);
    const here = memory.allocFloat32(9).fill(1);
    expect(sharedKernels(here, other)).toBeUndefined();
    addInto(here, other);
    expect([...here]).toEqual(new Array(9).fill(3));
  });

  it('add every repetition of a row in addRows', () => {
    const dst = new Float32Array(6);
    addRows(dst, Int32Array.of(2, 0, 2), Float32Array.of(1, 2, 3, 4, 5, 6), 2);
    expect([...dst]).toEqual([3, 4, 0, 0, 6, 8]);
  });
});

describe('the kernels refuse', () => {
  it('arrays of different lengths', () => {
    expect(() => addInto(new Float32Array(3), new Float32Array(4))).toThrow(RopewalkError);
    const x = new Float32Array(3);
    const settings = { lr: 1, beta1: 0, beta2: 0, eps: 1, weightDecay: 0 };
    const step = { ...settings, biasCorrection1: 1, biasCorrection2: 1, gradScale: 1 };
    expect(() => adamw(x, x, x, new Float32Array(2), step)).toThrow('param has 3 elements and v 2');
    expect(() => addRows(x, Int32Array.of(0), x, 2)).toThrow(RopewalkError);
    expect(() => addRows(x, Int32Array.of(0, 1), x, 3)).toThrow(RopewalkError);
  });

  it.each([-1, 3])('row id %i of 3 rows, before anything is added', (id) => {
    const dst = new Float32Array(6);
    const rows = new Float32Array(4).fill(1);
    expect(() => addRows(dst, Int32Array.of(0, id), rows, 2)).toThrow(`ids[1] is ${id}`);
    expect([...dst]).toEqual(new Array(6).fill(0));
  });
});
