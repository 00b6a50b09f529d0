import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LanguageModel } from '../src/generation/language-model.ts';
import { load } from '../src/generation/load.node.ts';
import { openTaps } from '../src/generation/taps/taps.node.ts';
import { saveUntrained } from './helpers/models.node.ts';
import {
  comparisons,
  relativeError,
  TAP_CASES,
  TAP_OPTIONS,
  tapReference,
} from './helpers/tap-references.ts';

const BOUND = 2e-5;
const folder = (name: string) => fileURLToPath(new URL(`reference/${name}`, import.meta.url));

describe.each(TAP_CASES)('tapping the values inside %s', (name) => {
  it('gives those of transformers: residual stream, scores, probabilities, logits before the cap, gradients', async () => {
    const reference = await tapReference(name);
    const { runner, close } = await openTaps(folder(name));
    const result = await runner.run(reference.ids, TAP_OPTIONS);
    expect(Math.abs(result.loss! - reference.loss)).toBeLessThan(1e-5 * reference.loss);
    for (const { name: value, kind, key } of comparisons(reference.layers)) {
      const error = relativeError(result[kind][value]!.data, reference.values.get(key)!);
      expect(error, `${kind} ${value}`).toBeLessThan(kind === 'gradients' ? 1e-4 : BOUND);
    }
    await runner.release();
    close();
  });

  it('changes nothing when they are read, and everything downstream when they are replaced', async () => {
    const { ids } = await tapReference(name);
    const { runner, close } = await openTaps(folder(name));
    const plain = await runner.run(ids);
    const tapped = await runner.run(ids, { taps: ['layers.0.attention.scores', 'layers.1.input'] });
    expect(relativeError(tapped.logits.data, plain.logits.data)).toBeLessThan(1e-6);
    const stream = tapped.values['layers.1.input']!;
    const same = await runner.run(ids, { replace: { 'layers.1.input': stream } });
    expect(relativeError(same.logits.data, plain.logits.data)).toBeLessThan(1e-6);
    const zeros = { data: new Float32Array(stream.data.length), shape: stream.shape };
    const changed = await runner.run(ids, {
      replace: { 'layers.1.input': zeros },
      taps: ['layers.0.output'],
    });
    expect(relativeError(changed.logits.data, plain.logits.data)).toBeGreaterThan(0.1);
    // What stands before the replacement is as it was.
    expect(relativeError(changed.values['layers.0.output']!.data, stream.data)).toBeLessThan(1e-6);
    await runner.release();
    close();
  });
});

describe('gradients of values inside a model', () => {
  it('agree with finite differences for attention scores and inputs of activation functions', async () => {
    const { ids } = await tapReference('gemma2');
    const { runner, close } = await openTaps(folder('gemma2'));
    for (const name of ['layers.1.attention.scores', 'layers.2.mlp.hidden']) {
      const { values, gradients } = await runner.run(ids, { taps: [name], gradients: [name] });
      const value = values[name]!;
      const gradient = gradients[name]!.data;
      // Along the gradient itself: the change of the loss is its squared length times the step.
      const length = Math.hypot(...gradient);
      const step = 0.05 / length;
      const moved = async (sign: number) => {
        const data = value.data.map((x, i) => x + sign * step * gradient[i]!);
        const { loss } = await runner.run(ids, {
          replace: { [name]: { data, shape: value.shape } },
          gradients: ['norm'],
        });
        return loss!;
      };
      const slope = ((await moved(1)) - (await moved(-1))) / (2 * step);
      expect(Math.abs(slope / length ** 2 - 1), name).toBeLessThan(0.02);
    }
    await runner.release();
    close();
  });
});

describe('model.run', () => {
  const home = mkdtempSync(join(tmpdir(), 'ropewalk-taps-'));
  let model: LanguageModel;
  beforeAll(async () => {
    await saveUntrained(join(home, 'model'));
    model = await load(join(home, 'model'));
  });
  afterAll(async () => {
    await model?.release();
    rmSync(home, { recursive: true, force: true });
  });

  it('gives in a worker thread the logits that the model itself gives', async () => {
    const ids = [5, 6, 7, 8];
    const result = await model.run(ids, { taps: ['layers.3.attention.probabilities'] });
    const { data, shape } = result.values['layers.3.attention.probabilities']!;
    expect(shape).toEqual([1, 4, 4, 4]);
    for (let row = 0; row < 4; row++) {
      const sum = data.subarray(4 * row, 4 * row + 4).reduce((total, x) => total + x, 0);
      expect(Math.abs(sum - 1)).toBeLessThan(1e-6);
      // Nothing is seen of what comes later.
      for (let key = row + 1; key < 4; key++) expect(data[4 * row + key]).toBe(0);
    }
    expect(relativeError(result.logits.data, await model.logits(ids))).toBeLessThan(2e-5);
  });

  it.each([
    [
      { taps: ['layers.0.attention.weights'] },
      /no value "layers\.0\.attention\.weights"; it has embedding, /,
    ],
    [{ taps: ['layers.9.input'] }, /no value "layers\.9\.input"/],
    [{ gradients: ['logits'] }, /"logits" comes after the point where the loss is computed/],
    [
      { replace: { norm: { data: new Float32Array(3), shape: [3] } } },
      /the value "norm" has the shape \[4, 96\], but its replacement has \[3\]/,
    ],
    [{ positions: [0, 1, 2, 9] }, /the position 9 is not one of 0 to 3/],
    [{ batch: 3 }, /4 ids cannot be split into 3 sequence\(s\)/],
  ])('refuses %j by name', async (options, message) => {
    await expect(model.run([5, 6, 7, 8], options)).rejects.toThrow(message);
  });
});
