import { z } from 'zod';
import { RopewalkError } from '../errors.ts';
import { jsonProblem } from '../files/json.ts';
import { SCHEDULES } from '../training/schedule.ts';

/* An ablation in JSON: one schema for writing and reading. */

/** Names consist of a preset and its exchanged parts; a longer one is not ours. */
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

/** Everything that the numbers depend on, except the machine. */
export type AblationSettings = z.output<typeof settings>;

/**
 * One model trained with one seed: its loss on the held-out tokens in nats per token, and the median speed of its
 * steps.
 */
export type AblationRun = z.output<typeof run>;

/**
 * The results of a model of the ladder. `change` is the difference from the previous model, null for the first.
 * `cacheBytes`: its caches in float32 at the longest context. `lossChange` and `speedChange` compare with the previous
 * model, seed by seed: in nats per token, and as a share of its speed.
 */
export type RungResult = z.output<typeof rung>;

/** `rest`: what the last step changes all at once, because these are not exchangeable parts. */
export type AblationResult = z.output<typeof result>;

/** @param file its name in error messages. @throws RopewalkError naming the wrong field. */
export function readAblation(text: string, file: string): AblationResult {
  return checked(result, text, file);
}

/** The runs of an unfinished ablation. @throws RopewalkError naming the wrong field. */
export function readRuns(text: string, file: string): z.output<typeof stored> {
  return checked(stored, text, file);
}

/** Whether two ablations have the same settings, in any order. */
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
