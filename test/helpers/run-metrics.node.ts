import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';

interface Measured {
  readonly type: string;
  readonly step: number;
  readonly loss: number;
  readonly gradientNorm?: number;
}

/** What a run measured at each step: everything but times. */
export function metricsOf(run: string): Measured[] {
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return lines
    .map((line) => JSON.parse(line) as Measured)
    .filter(({ type }) => type === 'step' || type === 'evaluation')
    .map(({ type, step, loss, gradientNorm }) => ({
      ...{ type, step, loss },
      ...(gradientNorm !== undefined && { gradientNorm }),
    }));
}

/** Losses within 1e-6 of one another, relative, and norms within 1e-4: sums over rows are taken in another order. */
export function expectSameRun(run: string, one: string, tolerance = 1e-6): void {
  const [got, wanted] = [metricsOf(run), metricsOf(one)];
  expect(got.map(({ type, step }) => [type, step])).toEqual(wanted.map(({ type, step }) => [type, step]));
  for (const [i, { loss, gradientNorm }] of wanted.entries()) {
    expect(Math.abs(got[i]!.loss / loss - 1), `loss of step ${got[i]!.step}`).toBeLessThan(tolerance);
    if (gradientNorm)
      expect(Math.abs(got[i]!.gradientNorm! / gradientNorm - 1), 'norm').toBeLessThan(100 * tolerance);
  }
}
