import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../checkpoint/safetensors/safetensors-file.ts';
import { writeSafetensors } from '../../checkpoint/safetensors/writer.ts';
import { memorySink, memorySource } from '../../files/source.ts';
import { BLOCK, decodeM, decodeS } from '../../kernels/moment-kernels.ts';
import { HostMemory } from '../../runtime/host-memory.ts';
import { createOptimizer, type OptimizerStates } from './create-optimizer.ts';
import { AdamW, allocateTrainable, type OptimizerState } from './optimizer.ts';
import { optimizerTensors, readOptimizerTensors } from './optimizer-file.ts';

/** Normal numbers of mean 0 and variance 1, from a linear congruence and Box and Muller's transform. */
function normals(seed: number): () => number {
  let state = seed >>> 0;
  const unit = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(unit())) * Math.cos(2 * Math.PI * unit());
}

/** m and √v of a parameter, decoded. */
function averages({ tensors }: OptimizerState, name: string): { m: Float32Array; s: Float32Array } {
  const m = tensors.get(`m.${name}`)!;
  if (m.dtype === 'BF16') {
    const float = (x: Uint16Array) => new Float32Array(Uint32Array.from(x, (code) => code << 16).buffer);
    return { m: float(m.data), s: float(tensors.get(`v.${name}`)!.data as Uint16Array).map(Math.sqrt) };
  }
  const [mScales, sScales] = ['m_scale', 'v_root_scale'].map((part) => tensors.get(`${part}.${name}`)!.data);
  const s = tensors.get(`v_root.${name}`)!.data;
  return {
    m: Float32Array.from(m.data, (code, i) => decodeM(code, mScales![Math.floor(i / BLOCK)]! / 61439)),
    s: Float32Array.from(s, (code, i) => decodeS(code, sScales![Math.floor(i / BLOCK)]! / 63488)),
  };
}

describe.each([
  // A code moves up or down by its distance d to the next with a probability of δ / d, when δ is what v changes by in a
  // step: some 1 − β2 of itself. Over the 1 / (1 − β2) steps that it remembers this makes a standard deviation of √(d / 2)
  // of itself, where d is 1/256 to 1/128 of v in bfloat16, half of it for √v; and 1/32 to 1/16 of √v in 8 bits.
  { states: 'bfloat16', rootBias: 0.002, rootError: 0.027, stepError: 0.03 },
  { states: 'int8', rootBias: 0.02, rootError: 0.15, stepError: 0.2 },
] as const)('AdamW with $states states', ({ states, rootBias, rootError, stepError }) => {
  it('keeps its averages near those of float64 arithmetic, without drift', () => {
    const n = 4096;
    const [beta1, beta2] = [0.9, 0.999];
    const parameter = allocateTrainable(new HostMemory(), [{ name: 'w', shape: [n] }])[0]!;
    const optimizer = createOptimizer('adamw', [parameter], { states, beta1, beta2 });
    const next = normals(3);
    // Gradients of one block differ in size by up to a thousand.
    const sizes = Float64Array.from({ length: n }, (_, i) => 10 ** (-3 * ((i * 0.618) % 1)));
    const [m, v] = [new Float64Array(n), new Float64Array(n)];
    const steps = 1500;
    for (let step = 1; step <= steps; step++) {
      for (let i = 0; i < n; i++) {
        const g = Math.fround((0.5 + next()) * sizes[i]!);
        parameter.gradient[i] = g;
        m[i] = beta1 * m[i]! + (1 - beta1) * g;
        v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
      }
      optimizer.step([parameter], { learningRate: 1e-3 });
    }
    const kept = averages(optimizer.state(), 'w');
    let [bias, square, stepSquare, stepSize] = [0, 0, 0, 0];
    for (let i = 0; i < n; i++) {
      const error = kept.s[i]! / Math.sqrt(v[i]!) - 1;
      bias += error / n;
      square += error ** 2 / n;
      const exact = m[i]! / Math.sqrt(v[i]!);
      stepSquare += (kept.m[i]! / kept.s[i]! - exact) ** 2 / n;
      stepSize += exact ** 2 / n;
    }
    const [rms, stepRms] = [Math.sqrt(square), Math.sqrt(stepSquare / stepSize)];
    expect(Math.abs(bias)).toBeLessThan(rootBias);
    expect(rms).toBeLessThan(rootError);
    expect(stepRms).toBeLessThan(stepError);
  });

  it('gives the same bits in one run or several, on any memory, resumed from a file or not', async () => {
    const shapes = [
      { name: 'w', shape: [40, 64] },
      { name: 'b', shape: [7] },
    ];
    const make = (where: 'one memory' | 'several') => {
      if (where === 'one memory') return allocateTrainable(new HostMemory(), shapes);
      const array = (shape: readonly number[]) =>
        new HostMemory().allocFloat32(shape.reduce((a, b) => a * b, 1));
      return shapes.map(({ name, shape }) => ({
        name,
        shape,
        value: array(shape),
        gradient: array(shape),
      }));
    };
    const whole = make('one memory');
    const apart = make('several');
    const fill = (parameters: typeof whole, step: number) => {
      for (const { gradient } of parameters) {
        gradient.forEach((_, i) => {
          gradient[i] = Math.sin(i * 7 + step) ** 3;
        });
      }
    };
    const settings = { learningRate: 0.01, gradientScale: 0.7 };
    const a = createOptimizer('adamw', whole, { states, seed: 4 });
    let b = createOptimizer('adamw', apart, { states, seed: 4 });
    for (let step = 0; step < 5; step++) {
      fill(whole, step);
      a.step(whole, settings);
      if (step === 3) {
        const sink = memorySink();
        await writeSafetensors(sink, optimizerTensors(b.state()));
        const saved = b.state().steps;
        b = createOptimizer('adamw', apart, { states, seed: 4 });
        const file = await openSafetensors(memorySource(sink.bytes()));
        b.restore({ steps: saved, tensors: await readOptimizerTensors(file, b.state()) });
      }
      fill(apart, step);
      const [w, bias] = apart as [(typeof apart)[0], (typeof apart)[0]];
      for (const [from, to] of [
        [0, 256],
        [256, 1024],
        [1024, 2560],
      ] as const) {
        const part = {
          value: w.value.subarray(from, to),
          gradient: w.gradient.subarray(from, to),
          offset: from,
        };
        b.step([{ ...w, ...part }], settings);
      }
      b.step([bias], settings);
    }
    expect(apart.map(({ value }) => value)).toEqual(whole.map(({ value }) => value));
    expect(b.state()).toEqual(a.state());
    expect(a.state().steps).toEqual({ w: 5, b: 5 });
    const other = new AdamW(whole, { states, seed: 5 });
    expect(() => other.step([{ ...whole[0]!, offset: 1 }], settings)).toThrow('in order');
  });
});

describe('optimizer states in a file', () => {
  const parameter = { name: 'w', shape: [3, 100] };
  const stateFile = async (states: OptimizerStates) => {
    const sink = memorySink();
    await writeSafetensors(sink, optimizerTensors(new AdamW([parameter], { states }).state()));
    return openSafetensors(memorySource(sink.bytes(), 'optimizer.safetensors'));
  };

  it('keep the types they have in memory', async () => {
    const types = async (states: OptimizerStates) =>
      Object.fromEntries(
        [...(await stateFile(states)).tensors].map(([name, { dtype, shape }]) => [
          name,
          [dtype, shape.length],
        ]),
      );
    expect(await types('float32')).toEqual({ 'm.w': ['F32', 2], 'v.w': ['F32', 2] });
    expect(await types('bfloat16')).toEqual({ 'm.w': ['BF16', 2], 'v.w': ['BF16', 2] });
    expect(await types('int8')).toEqual({
      'm.w': ['U8', 2],
      'v_root.w': ['U8', 2],
      'm_scale.w': ['F32', 1],
      'v_root_scale.w': ['F32', 1],
    });
  });

  it('of other types or models are refused by name', async () => {
    const own = (states: OptimizerStates, shape = [3, 100]) =>
      new AdamW([{ name: 'w', shape }], { states }).state();
    const file = await stateFile('bfloat16');
    await expect(readOptimizerTensors(file, own('float32'))).rejects.toThrow(
      'optimizer.safetensors: the saved m.w is BF16, but this run keeps F32',
    );
    await expect(readOptimizerTensors(file, own('int8'))).rejects.toThrow('this run keeps U8');
    const other = new AdamW([{ name: 'u', shape: [3, 100] }]).state();
    await expect(readOptimizerTensors(file, other)).rejects.toThrow('has no m.u');
    await expect(readOptimizerTensors(file, own('bfloat16', [3, 99]))).rejects.toThrow('has 300 elements');
  });
});

describe('createOptimizer', () => {
  const parameters = [{ name: 'w', shape: [1024, 1024] }];

  it('reports how many bytes its state takes', () => {
    const bytes = (states: OptimizerStates) =>
      createOptimizer('adamw', parameters, { states }).bytesPerParameter;
    expect(bytes('float32')).toBe(8);
    expect(bytes('bfloat16')).toBe(4);
    expect(bytes('int8')).toBe(2 + 8 / BLOCK);
    expect(createOptimizer('adafactor', parameters).bytesPerParameter).toBe((4 * 2048) / 2 ** 20);
    expect(createOptimizer('sgd', parameters).bytesPerParameter).toBe(0);
  });

  it('refuses options that a kind of optimizer does not have', () => {
    expect(() => createOptimizer('sgd', parameters, { beta1: 0.9 })).toThrow(
      "beta1: the optimizer sgd has no such option; leave it out, or choose optimizer: 'adamw'",
    );
    expect(() => createOptimizer('adafactor', parameters, { states: 'int8' })).toThrow(
      "states: the optimizer adafactor has no such option; leave it out, or choose optimizer: 'adamw'",
    );
    expect(() => createOptimizer('adamw', parameters, { states: 'int4' as OptimizerStates })).toThrow(
      'states: give float32, bfloat16 or int8, not "int4".',
    );
    expect(() => createOptimizer('unknown' as 'sgd', parameters)).toThrow('there is no optimizer "unknown"');
  });
});

describe('the memory of weights', () => {
  it('has room for the state of an optimizer, and spends none on it before', () => {
    const memory = new HostMemory();
    const shapes = [
      { name: 'a', shape: [300, 70] },
      { name: 'b', shape: [5] },
    ];
    const trainables = allocateTrainable(memory, shapes);
    const used = memory.usedBytes;
    expect(used).toBe(2 * (64 * Math.ceil((4 * 300 * 70) / 64) + 64));
    const { tensors } = createOptimizer('adamw', trainables, { memory }).state();
    for (const { name, value, gradient } of trainables) {
      expect(gradient.buffer === value.buffer).toBe(true);
      for (const average of ['m', 'v']) {
        expect(tensors.get(`${average}.${name}`)!.data.buffer === value.buffer).toBe(true);
      }
    }
    expect(memory.usedBytes).toBe(2 * used);
    // A second optimizer finds no room, and takes other memory.
    const second = createOptimizer('adamw', trainables).state();
    expect(second.tensors.get('m.a')!.data.buffer === trainables[0]!.value.buffer).toBe(false);
  });

  it('holds a tensor larger than half a memory, and keeps too large ones apart', () => {
    // 590 million numbers, Gemma 2's embedding: 2.2 GiB each for value and gradient, on two memories. Memory that is
    // not touched costs only address space.
    const [large, small] = allocateTrainable(new HostMemory(), [
      { name: 'embedding', shape: [256000, 2304] },
      { name: 'norm', shape: [2304] },
    ]);
    expect(large!.value.length).toBe(589_824_000);
    // Compared here, since an assertion would read all of it.
    expect(large!.gradient.buffer === large!.value.buffer).toBe(false);
    expect(small!.gradient.buffer === small!.value.buffer).toBe(true);
  });
});
