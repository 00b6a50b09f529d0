import { z } from 'zod';
import { RopewalkError } from '../errors.ts';
import { jsonProblem } from '../files/json.ts';
import { SCHEDULES } from '../training/schedule.ts';

/* What an ablation is in JSON: one description for those who write it and for those who read it back. */

/** Names are made of a preset's and of its exchanged parts; more is not of our making. */
const name = z.string().max(2000);
const whole = z.int().min(0);
const notNegative = z.number().min(0);
const interval = z.object({ mean: z.number(), margin: notNegative.nullable() }).readonly();
const listOf = <S extends z.ZodType>(schema: S, most: number) => z.array(schema).max(most).readonly();

const settings = z
  .object({
    from: name,
    to: name,
    seeds: listOf(whole, 1000).refine((seeds) => seeds.length > 0, 'there is no seed'),
    shape: z.object({ batch: whole, seq: whole }).readonly(),
    training: z
      .object({
        steps: whole,
        accumulate: whole,
        lr: notNegative,
        schedule: z.enum(SCHEDULES),
        warmup: whole,
        minLrRatio: notNegative.optional(),
        clip: notNegative,
      })
      .readonly(),
    weightDecay: notNegative,
  })
  .readonly();

const run = z.object({ rung: whole, seed: whole, loss: z.number(), tokensPerSecond: notNegative }).readonly();

const rung = z
  .object({
    name,
    change: name.nullable(),
    parameters: whole,
    cacheBytes: whole,
    loss: interval,
    lossChange: interval.nullable(),
    tokensPerSecond: interval,
    speedChange: interval.nullable(),
  })
  .readonly();

const runs = listOf(run, 100_000);
const result = z
  .object({
    settings,
    rungs: listOf(rung, 100).refine((rungs) => rungs.length > 0, 'there is no model'),
    rest: listOf(name, 1000),
    runs,
  })
  .readonly();

const stored = z.object({ settings, runs }).readonly();

/** Everything that the numbers depend on, but the machine. */
export type AblationSettings = z.output<typeof settings>;

/** One model trained with one seed: the loss on the held-out tokens, nats per token, and the median speed of its steps. */
export type AblationRun = z.output<typeof run>;

/**
 * What a model of the ladder came to. `change` is what is exchanged beside the one above, null for the first.
 * `cacheBytes`: of the caches in float32 at the longest context. `lossChange` and `speedChange` compare with the model
 * above, seed by seed: nats per token, and a share of its speed.
 */
export type RungResult = z.output<typeof rung>;

/** `rest`: what the last step changes at once, because it is no part to exchange. */
export type AblationResult = z.output<typeof result>;

/** @param file what messages call it. @throws RopewalkError naming the field that is wrong. */
export function readAblation(text: string, file: string): AblationResult {
  return checked(result, text, file);
}

/** The runs of an ablation that is not finished. @throws RopewalkError naming the field that is wrong. */
export function readRuns(text: string, file: string): z.output<typeof stored> {
  return checked(stored, text, file);
}

/** Whether two ablations have the same settings, in whatever order they were written. */
export function sameSettings(a: AblationSettings, b: AblationSettings): boolean {
  return JSON.stringify(settings.parse(a)) === JSON.stringify(settings.parse(b));
}

function checked<S extends z.ZodType>(schema: S, text: string, file: string): z.output<S> {
  const fail = (problem: string) => {
    throw new RopewalkError(`${file}: ${problem}; give a file that "ropewalk ablate" wrote, unchanged.`);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return fail(`it is not JSON: ${jsonProblem(error as SyntaxError)}`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const field = path.length > 0 ? `the field "${path.join('.')}"` : 'its content';
  return fail(`${field} is not what an ablation has there (${message})`);
}
