import { describe, expect, it } from 'vitest';
import { familyByName } from '../../families/registry.ts';
import { FINETUNE, type FinetuneInput } from '../../finetune/settings.ts';
import type { DeviceLimits } from '../../runtime/device-limits.ts';
import { resolveSettings } from '../settings.ts';
import { checkFits, planRun } from './plan.ts';

const data = { examples: 900, validationExamples: 100, tokens: 1e5, trainedTokens: 5e4, batchesPerEpoch: 90 };
const { family, config } = (() => {
  const llama = familyByName('llama');
  return { family: llama, config: llama.presets['llama-3.2-1b']!.config };
})();
const model = family.build(config);
const GB = 1e9;

function plan(availableMemory: number, input: FinetuneInput = {}) {
  const settings = resolveSettings(FINETUNE, { batch: 1, seq: 512, ...input });
  return planRun({
    model,
    trains: () => true,
    settings,
    shape: { seq: 512, packed: true },
    data,
    machine: { totalMemory: 64 * GB, availableMemory },
  });
}

describe('the memory plan of Llama 3.2 1B', () => {
  it('counts weights, gradients and moments in the types they are kept in', () => {
    const { memory, parameters, steps, fits } = plan(64 * GB, { accumulate: 4, epochs: 2 });
    expect(parameters).toBe(1_235_814_400); // as published
    expect(memory.weights).toBe(4 * parameters);
    expect(memory.gradients).toBe(4 * parameters);
    expect(memory.optimizer).toBe(8 * parameters);
    expect(memory.total).toBe(
      memory.weights + memory.gradients + memory.optimizer + memory.activations + memory.program,
    );
    expect(steps).toBe(45);
    expect(fits).toBe(true);
  });

  it('needs less with states in fewer bits, recomputation, and updates during the backward pass', () => {
    const total = (settings: FinetuneInput) => plan(64 * GB, settings).memory;
    const fast = total({});
    expect(total({ states: 'bfloat16' }).optimizer).toBe(fast.optimizer / 2);
    expect(total({ memory: 'recompute' }).activations).toBeLessThan(fast.activations / 2);
    // Of the gradients the largest stage's alone: the tied embedding.
    expect(total({ memory: 'light' }).gradients).toBeLessThan(fast.gradients / 3);
    expect(total({ memory: 'light', optimizer: 'adafactor' }).optimizer).toBeLessThan(0.01 * fast.optimizer);
  });

  it('names what would make it fit, the cheapest first, and nothing when nothing would', () => {
    const { fits, remedies } = plan(18 * GB);
    expect(fits).toBe(false);
    expect(remedies[0]!.options).toEqual({ states: 'bfloat16' });
    expect(remedies.at(-1)!.options.optimizer).toBe('adafactor');
    for (const { total } of remedies) expect(total).toBeLessThanOrEqual(18 * GB);
    expect(plan(7.5 * GB).remedies.map(({ options }) => options)).toEqual([
      { memory: 'light', optimizer: 'adafactor', batch: 1, accumulate: 1 },
    ]);
    expect(plan(4 * GB).remedies).toEqual([]);
    expect(() => checkFits(plan(18 * GB))).toThrow(/with states: 'bfloat16' it would fit/);
    expect(() => checkFits(plan(7.5 * GB))).toThrow(/with memory: 'light' optimizer: 'adafactor' batch: 1 /);
    expect(() => checkFits(plan(4 * GB))).toThrow(/no option makes it fit; choose a smaller model/);
    expect(() => checkFits(plan(64 * GB))).not.toThrow();
  });

  it('suggests a smaller batch where that alone helps', () => {
    const eight = plan(64 * GB, { batch: 16 });
    const { remedies } = plan(eight.memory.total - GB, { batch: 16 });
    expect(remedies[0]!.options).toEqual({ batch: 1, accumulate: 16 });
  });
});

describe('the plan of Llama 3.2 1B on a device', () => {
  const GIB = 2 ** 30;
  const on = (device: DeviceLimits, input: FinetuneInput = {}) => {
    const settings = resolveSettings(FINETUNE, { batch: 4, seq: 512, ...input });
    return planRun({
      ...{ model, trains: () => true, settings, shape: { seq: 512, packed: true }, data, device },
      machine: { totalMemory: 64 * GB, availableMemory: 32 * GB },
    });
  };
  const card = (memory: number): DeviceLimits => {
    return { name: 'a card', memoryBytes: memory + GB, availableBytes: memory, bufferBytes: 4 * GIB };
  };

  it('names its memory, and options with which it fits when they are followed', () => {
    for (const [memory, options] of [
      [26, { batch: 1, accumulate: 4 }],
      [21, { memory: 'light', accumulate: 1 }],
      [13, { memory: 'light', optimizer: 'adafactor', batch: 1, accumulate: 1 }],
    ] as const) {
      const large = on(card(memory * GB));
      expect(large.shortage).toMatchObject({ of: 'device memory', available: memory * GB });
      expect(large.remedies[0]!.options).toEqual(options);
      for (const remedy of large.remedies) {
        const followed = on(card(memory * GB), remedy.options);
        expect(followed.shortage).toBeUndefined();
        expect(followed.memory.device!.total).toBe(remedy.total);
      }
      expect(() => checkFits(large)).toThrow(
        /^this needs about \d+\.\d GB of memory on the device \(a card\), but [\d.]+ GB of [\d.]+ GB are available; with .* it would fit \([\d.]+ GB\)\.$/,
      );
    }
    const small = on(card(3 * GB));
    expect(small.remedies).toEqual([]);
    expect(() => checkFits(small)).toThrow(/train on the CPU \(device: 'cpu'\), or choose a smaller model/);
  });

  it('names the tensor that is larger than a buffer of the device', () => {
    const long = on({ bufferBytes: 60 * 2 ** 20, name: 'a phone' }, { batch: 1 });
    expect(() => checkFits(long)).toThrow(
      'model.layers.0.mlp.gate_proj.weight is one tensor of 67 MB, but the device (a phone) has at most 63 MB for one',
    );
    const wide = on({ bufferBytes: 128 * 2 ** 20 }, { batch: 16 });
    expect(wide.shortage).toMatchObject({ of: 'device buffer', buffer: 'activations' });
    expect(wide.remedies[0]!.options).toEqual({ batch: 1, accumulate: 16 });
  });

  it('has tables in parts within the limits, and then offers no optimizer that needs them whole', () => {
    const parted = on({ ...card(13 * GB), bufferBytes: GIB / 2 });
    expect(parted.memory.device!.parted).toEqual(['model.embed_tokens.weight']);
    expect(parted.remedies.map(({ options }) => options.optimizer)).not.toContain('adafactor');
    expect(on(card(40 * GB), { optimizer: 'adafactor' }).memory.device!.parted).toEqual([]);
  });

  it('is only checked against what is known', () => {
    expect(on({}).fits).toBe(true);
    // A driver in software has this machine's memory.
    expect(on({ kind: 'software' }, { batch: 8 }).shortage).toMatchObject({ of: 'memory' });
  });
});
