import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Random } from '../../random.ts';
import { HostMemory } from '../../runtime/host-memory.ts';
import { type AdamWCoefficients, adamw, addInto, sgd, sumOfSquares, sumsOfSquares } from '../kernels.ts';
import { adamwBfloat16, adamwBlocks, BLOCK } from '../moment-kernels.ts';
import { helperCount, kernelThreads } from './kernel-threads.node.ts';
import { CHUNK, type KernelThreads, kernelShare, STAGE_BYTES, type ThreadMemory } from './shared-call.ts';
import { together } from './together.ts';

const coefficients: AdamWCoefficients = {
  ...{ lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.1 },
  ...{ biasCorrection1: 0.1, biasCorrection2: 0.01, gradScale: 0.7 },
};
const rounding = { key: 0x1234567, first: 0 };

/** Around one chunk and several, with ragged ends. */
const lengths = [1, 700, CHUNK - 1, CHUNK, 3 * CHUNK + 77];

type Place = 'one memory' | 'gradient elsewhere' | 'everything elsewhere';

/** Runs every kernel on arrays of the same values; the results, as bytes. */
function results(threads: KernelThreads | undefined, place: Place): Buffer {
  const memories = Array.from({ length: 6 }, () => new HostMemory(threads));
  const random = new Random(5);
  const bytesOf: Uint8Array[] = [];
  const run: (() => void)[] = [];
  for (const n of lengths) {
    const bytes = (memory: number, size: number) => {
      const chosen =
        place === 'everything elsewhere' ? memory : place === 'gradient elsewhere' && memory === 1 ? 1 : 0;
      const array = memories[chosen]!.allocByteGroup([size])[0]!;
      bytesOf.push(array);
      return array;
    };
    const floats = (memory: number, size = n) => {
      const { buffer, byteOffset } = bytes(memory, 4 * size);
      const array = new Float32Array(buffer, byteOffset, size);
      for (let i = 0; i < size; i++) array[i] = random.next() - 0.5;
      return array;
    };
    const positive = (memory: number, size = n) => floats(memory, size).map(Math.abs);
    const blocks = Math.ceil(n / BLOCK);
    const [p0, g0, m0, v0] = [floats(0), floats(1), floats(2), floats(3)];
    v0.set(positive(3));
    run.push(() => adamw(p0, g0, m0, v0, coefficients));
    const [p1, g1] = [floats(0), floats(1)];
    const [m1, v1] = [2, 3].map((memory) => {
      const { buffer, byteOffset } = bytes(memory, 2 * n);
      return new Uint16Array(buffer, byteOffset, n);
    }) as [Uint16Array, Uint16Array];
    run.push(() => adamwBfloat16(p1, g1, m1, v1, coefficients, rounding));
    const [p2, g2] = [floats(0), floats(1)];
    const codes = {
      m: bytes(2, n),
      s: bytes(3, n),
      mScales: positive(4, blocks),
      sScales: positive(5, blocks),
    };
    const scales = { mScales: floats(4, blocks), sScales: floats(5, blocks) };
    scales.mScales.set(codes.mScales);
    scales.sScales.set(codes.sScales);
    const scratch = memories[0]!.allocFloat32(2 * BLOCK);
    run.push(() => adamwBlocks(p2, g2, { ...codes, ...scales }, scratch, coefficients, rounding));
    const [p3, g3] = [floats(0), floats(1)];
    run.push(() => sgd(p3, g3, 0.1, 0.5));
    const [p4, g4] = [floats(0), floats(1)];
    run.push(() => addInto(p4, g4));
  }
  const alone = run.slice(0, run.length / 2);
  for (const each of alone) each();
  together(() => {
    for (const each of run.slice(alone.length)) each();
  });
  for (const each of run) each();
  return Buffer.concat(bytesOf);
}

describe('kernels on several threads', () => {
  it.each<Place>(['one memory', 'gradient elsewhere', 'everything elsewhere'])(
    'leave the bits of one thread, with arrays on %s',
    (place) => {
      const expected = results(undefined, place);
      for (const count of [2, 3, 5]) {
        expect(results(kernelThreads(count, 0), place).equals(expected), `${count} threads`).toBe(true);
      }
    },
  );

  it('add squares up in the order of one thread', () => {
    const memory = new HostMemory(kernelThreads(3, 0));
    const random = new Random(9);
    const arrays = lengths.map((n) => memory.allocFloat32(n).map(() => random.next() * 1e3));
    const shared = arrays.map((array) => {
      const copy = memory.allocFloat32(array.length);
      copy.set(array);
      return copy;
    });
    expect(sumsOfSquares(shared)).toEqual(arrays.map(sumOfSquares));
    expect(sumsOfSquares([...shared, arrays[1]!])).toEqual([...arrays, arrays[1]!].map(sumOfSquares));
    expect(sumsOfSquares([])).toEqual([]);
  });

  it('have done what was called before an error', () => {
    const memory = new HostMemory(kernelThreads(2, 0));
    const [a, b] = [memory.allocFloat32(10).fill(1), memory.allocFloat32(10).fill(2)];
    expect(() =>
      together(() => {
        addInto(a, b);
        throw new Error('later');
      }),
    ).toThrow('later');
    expect([...a]).toEqual(new Array(10).fill(3));
    addInto(a, b);
    expect(a[0]).toBe(5);
  });

  it('take every chunk once when one thread does nothing, and report a failed one', () => {
    // The caller and a helper, run one after the other by hand.
    const threads = kernelThreads(2, 0)!;
    const memory = new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true });
    const kernels = new WebAssembly.Instance(threads.module as WebAssembly.Module, { env: { memory } })
      .exports as never;
    const one: ThreadMemory = { memory, kernels, buffer: memory.buffer, stages: 8 * 65536 - 2 * STAGE_BYTES };
    const values = new Float32Array(memory.buffer, 0, 1000).fill(1);
    const operand = { memory: 0, start: 0, elementBytes: 4, every: 1, use: 'update', length: 1000 } as const;
    const call = { kernel: 'addInto', home: 0, n: 1000, operands: [operand, operand], numbers: [] } as const;
    const job = (memoryNumber: number) => ({
      calls: [{ ...call, home: memoryNumber, first: undefined, split: 'chunks' as const }],
      ...{ chunk: 64, stageBytes: STAGE_BYTES },
      state: new Int32Array(new SharedArrayBuffer(12)),
      results: new Float64Array(1),
    });
    const share = kernelShare((number) => (number === 0 ? one : (undefined as never)));
    const first = job(0);
    share(first, 1);
    share(first, 0);
    expect([first.state[1], first.state[2], values.every((x) => x === 2)]).toEqual([16, 0, true]);
    const unknown = job(7);
    share(unknown, 1);
    expect([unknown.state[1], unknown.state[2]]).toEqual([16, 1]);
  });

  it('start no helper for one thread or little work', () => {
    expect(kernelThreads(1)).toBeUndefined();
    const before = helperCount();
    const memory = new HostMemory(kernelThreads(64));
    addInto(memory.allocFloat32(1000), memory.allocFloat32(1000));
    expect(helperCount()).toBe(before);
  });

  it('end when a memory that they know is not used any more', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    (() => {
      const memory = new HostMemory(kernelThreads(2, 0));
      addInto(memory.allocFloat32(2 * CHUNK), memory.allocFloat32(2 * CHUNK));
    })();
    expect(helperCount()).toBeGreaterThan(0);
    for (let turn = 0; turn < 100 && helperCount() > 0; turn++) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(helperCount()).toBe(0);
    const memory = new HostMemory(kernelThreads(2, 0));
    const [a, b] = [memory.allocFloat32(2 * CHUNK), memory.allocFloat32(2 * CHUNK).fill(1)];
    addInto(a, b);
    expect(a.every((x) => x === 1)).toBe(true);
  });
});
