import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import type { JobResults } from '../src/report/results.ts';
import { type JobEvent, type JobOptions, REPORT_FILE, runMainJob } from '../src/start/job.node.ts';
import { jobSettings } from '../src/start/settings.ts';
import { buildProgram, startSignalled } from './helpers/cli.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-job-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const few = jobSettings(6);
const settings = { ...few, training: { ...few.training, saveEvery: 2 } };
const job = (name: string, options: Partial<JobOptions> = {}) =>
  runMainJob({ out: join(folder, name), settings, threads: 2, ...options });

async function weightsOf(name: string, family: string): Promise<Map<string, Float32Array>> {
  const opened = await openModel(join(folder, name, family));
  const weights = new Map(
    [...opened.model.parameters()].map(([path, { size }]) => [path, new Float32Array(size)]),
  );
  await readWeights(opened, weights);
  await opened.checkpoint.tensors.close();
  return weights;
}

/** What does not depend on how fast the machine was. */
function untimed({ families, measurements, corpus }: JobResults) {
  const kept = families.map(({ trainTokensPerSecond, decodeTokensPerSecond, ...rest }) => {
    expect(trainTokensPerSecond).toBeGreaterThan(0);
    expect(decodeTokensPerSecond).toBeGreaterThan(0);
    return rest;
  });
  return { families: kept, measurements, corpus };
}

describe('the job of npm start', { timeout: 240_000 }, () => {
  let whole: JobResults;
  beforeAll(async () => {
    whole = (await job('whole'))!;
  }, 240_000);

  it('trains the four families on the same tokens, and all of them learn', () => {
    expect(whole.families.map(({ title }) => title)).toEqual(['GPT', 'Gemma', 'Gemma 2', 'Llama 3']);
    const sizes = whole.families.map(({ parameters }) => parameters);
    expect(Math.max(...sizes) / Math.min(...sizes)).toBeLessThan(1.05);
    for (const { curve, evaluations, validationLoss } of whole.families) {
      expect(curve.at(-1)!.step).toBe(6);
      expect(evaluations.at(-1)).toEqual({ step: 6, loss: validationLoss });
      // ln 512 is the loss of a model that knows nothing.
      expect(validationLoss).toBeLessThan(Math.log(512));
    }
    expect(whole.corpus.bigramLoss).toBeLessThan(whole.corpus.unigramLoss);
  });

  it('measures what theory predicts', () => {
    const [gpt, gemma, gemma2, llama] = whole.measurements.families;
    // Rotary scores depend on distance alone, up to rounding; sinusoidal ones do not.
    for (const rotary of [gemma!, gemma2!, llama!]) {
      expect(rotary.positions.largestSpread).toBeLessThan(1e-5);
      expect(rotary.positions.range).toBeGreaterThan(1e-3);
    }
    expect(gpt!.positions.largestSpread).toBeGreaterThan(1e-2);
    expect(whole.measurements.families.map(({ activation }) => activation.activation)).toEqual([
      'relu',
      'gelu',
      'gelu',
      'silu',
    ]);
    // Without norms the gradient grows faster in each layer, in at most as many layers.
    for (const { gradients } of [gpt!, gemma!, gemma2!, llama!]) {
      const growth = (curve: readonly number[]) => (curve[0]! / curve.at(-1)!) ** (1 / (curve.length - 1));
      expect(gradients.trained).toHaveLength(5);
      expect(gradients.deep).toHaveLength(whole.measurements.deepLayers + 1);
      expect(growth(gradients.withoutNorms)).toBeGreaterThan(1.2 * growth(gradients.deep));
    }
    for (const effect of [gemma2!.caps.attention!, gemma2!.caps.final!]) {
      expect(effect.largestAfter).toBeCloseTo(effect.cap * Math.tanh(effect.largestBefore / effect.cap), 4);
      expect(effect.before.total).toBe(effect.after.total);
    }
    expect([effects(gpt!), effects(gemma!), effects(llama!)]).toEqual([[], [], []]);
    // 2 · layers · width · 4 bytes; grouped queries halve it; 2 of 4 layers keep 31 of 256 keys.
    expect(whole.families.map(({ cacheBytesPerToken }) => cacheBytesPerToken)).toEqual([
      3072,
      3072,
      (2 * 2 * 48 * 4 * (256 + 31)) / 256,
      1536,
    ]);
  });

  it('writes one self-contained page in both languages', () => {
    const page = readFileSync(join(folder, 'whole', REPORT_FILE), 'utf8');
    expect(page.match(/https?:|url\(|@import|<(link|img|iframe)\b/gi)).toBeNull();
    for (const text of ['lang="ko"', 'Why normalize', '왜 정규화하는가']) {
      expect(page.includes(text), text).toBe(true);
    }
    expect(page.match(/<svg/g)!.length).toBeGreaterThan(10);
  });

  it('gives the same weights, losses and samples when interrupted and resumed', async () => {
    const controller = new AbortController();
    const stopAt = (title: string, step: number) => (event: JobEvent) => {
      if (event.type === 'step' && event.title === title && event.step === step) controller.abort();
    };
    const stopped = await job('parts', { signal: controller.signal, onEvent: stopAt('gemma', 4) });
    expect(stopped).toBeUndefined();
    const events: JobEvent[] = [];
    const resumed = (await job('parts', { onEvent: (event) => events.push(event) }))!;
    expect(events).toContainEqual({ type: 'resumed', title: 'gemma', step: 4 });
    // The first family was finished and is not trained again.
    expect(events.some((event) => event.type === 'step' && event.title === 'gpt')).toBe(false);
    expect(untimed(resumed)).toEqual(untimed(whole));
    for (const family of settings.families) {
      expect(await weightsOf('parts', family)).toEqual(await weightsOf('whole', family));
    }
  });

  it('resumes from the last checkpoint after a kill, and stops cleanly at Ctrl-C', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    const args = ['start', '--steps', '450', '--out', join(folder, 'killed'), '--locale', 'en'];
    const killed = startSignalled(program, args, /gpt.checkpoints.step-00000200$/, { signal: 'SIGKILL' });
    expect((await killed.finished).signal).toBe('SIGKILL');
    const polite = startSignalled(program, args, /gpt: resuming after step 200/);
    const { code, stderr } = await polite.finished;
    expect(code).toBe(130);
    expect(stderr).toContain('the same command resumes');
  });

  it('reads stored results instead of repeating a finished job', async () => {
    const events: JobEvent[] = [];
    const again = await job('whole', { onEvent: (event) => events.push(event) });
    expect(again).toEqual(JSON.parse(JSON.stringify(whole)));
    expect(events.some(({ type }) => type === 'step')).toBe(false);
  });

  it("refuses another job's folder, and a folder that holds something else", async () => {
    await expect(job('whole', { settings: jobSettings(7) })).rejects.toThrow(/other settings.*fresh: true/);
    const foreign = mkdtempSync(join(folder, 'foreign-'));
    writeFileSync(join(foreign, 'thesis.txt'), 'precious');
    for (const fresh of [false, true]) {
      await expect(runMainJob({ out: foreign, settings, threads: 2, fresh })).rejects.toThrow(
        /contains something other than this job/,
      );
    }
    expect(readFileSync(join(foreign, 'thesis.txt'), 'utf8')).toBe('precious');
  });
});

function effects({ caps }: JobResults['measurements']['families'][number]) {
  return [caps.attention, caps.final].filter((effect) => effect !== null);
}
