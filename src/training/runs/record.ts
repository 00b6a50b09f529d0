import { RopewalkError } from '../../errors.ts';
import { createSchedule, scheduleSettings } from '../schedule.ts';
import { lengthOf, type RunLength, type TrainingSettings } from '../settings.ts';

/** What a run was started with: its command, model, data and settings. Plain JSON. */
export type RunRecord = Readonly<Record<string, unknown>>;

/** Settings in a record: with the run's length and warm-up, however they were derived. */
export type RecordedSettings = TrainingSettings & RunLength;

/** Settings that change no numbers in any step: a run may be resumed with different ones. */
const HARMLESS: readonly string[] = [
  ...['keep', 'saveEvery', 'evalEvery', 'dtype', 'result', 'samplePrompt', 'sampleTokens', 'shard'],
];
/** Fields that do not affect a run's numbers, or are compared separately. */
const APART: readonly string[] = ['format', 'begun', 'settings', 'epochs', 'steps', 'precision'];

/**
 * Checks that a run can resume with the given settings: the original ones, except for settings that change no
 * numbers, and for more steps.
 *
 * @param stored from {@link upgraded}.
 * @param ownWarmup whether the warm-up was set explicitly; one derived from the number of steps stays as it was.
 * @returns the record of the run from now on.
 * @throws RopewalkError naming the first field that differs, and both values.
 */
export function recordToResume(
  stored: RunRecord,
  wanted: RunRecord,
  ownWarmup: boolean,
  out: string,
): RunRecord {
  const before = stored.settings as RecordedSettings;
  const settings = { ...(wanted.settings as RecordedSettings), ...(!ownWarmup && { warmup: before.warmup }) };
  const refuse = (difference: string, remedy: string): never => {
    throw new RopewalkError(`${out} was started with another ${difference}. ${remedy}`);
  };
  // An older record lacks some of today's fields; those it has must be equal.
  const compared = (record: object, also: object) =>
    Object.fromEntries(
      Object.entries(record).filter(
        ([name]) => ![...APART, ...HARMLESS].includes(name) && (stored.format !== 1 || name in also),
      ),
    );
  const difference =
    firstDifference(compared(stored, wanted), compared(wanted, stored), '') ??
    firstDifference(compared(before, settings), compared(settings, before), '');
  if (difference)
    refuse(difference, 'Resume with the same options and text, or start over in another folder.');
  if (settings.steps < before.steps) {
    refuse(
      `"steps" (${before.steps}, now ${settings.steps})`,
      'A run can be made longer, but not shorter: resume with at least as many steps, or start over in another folder.',
    );
  }
  return { ...wanted, begun: stored.begun ?? wanted.begun, settings };
}

/**
 * The differences between two records of a run and their effects, as sentences.
 *
 * @param step the run's current step.
 */
export function changesOf(stored: RunRecord, now: RunRecord, step: number): string[] {
  const before = stored.settings as RecordedSettings;
  const after = now.settings as RecordedSettings;
  const harmless = HARMLESS.filter((name) => name in before).flatMap((name) => {
    const difference = firstDifference(
      before[name as keyof RecordedSettings],
      after[name as keyof RecordedSettings],
      name,
    );
    return difference ? [`${difference} does not affect any step`] : [];
  });
  const same = [...precisionChange(stored, now), ...harmless];
  if (after.steps === before.steps) return same;
  const rate = (settings: RecordedSettings) =>
    createSchedule({ ...pick(settings), ...scheduleSettings(settings) })(
      step + (settings.warmup > 0 ? 1 : 0),
    );
  const [was, is] = [rate(before), rate(after)].map((value) => value.toPrecision(3));
  const effect =
    was === is
      ? `the learning rate stays at ${is}`
      : `from here on the learning rate follows the ${after.schedule} over ${after.steps} steps: ${is} instead of ${was}`;
  return [`${after.steps} steps instead of ${before.steps}: ${effect}`, ...same];
}

/** A run may change its device, and what a device computes in with it. Runs of older versions did not record that. */
function precisionChange({ precision: before }: RunRecord, { precision: after }: RunRecord): string[] {
  if (before === undefined || before === after) return [];
  return [
    `precision ${String(after)} instead of ${String(before)}: from here on, losses and weights are not those that the run would have had`,
  ];
}

function pick({ schedule, lr, steps, warmup }: RecordedSettings) {
  return { schedule, lr, steps, warmup };
}

/** How all runs were before they could be sharded. */
const UNSHARDED = { shard: 'none', wire: 'float32' } as const;

/** Records of format 1, in which each command had its own names. */
interface OldRecord extends RunRecord {
  readonly kind?: 'finetune' | 'distillation';
  readonly shape?: { readonly batch: number; readonly seq: number };
  readonly memory?: string;
  readonly settings: Readonly<Record<string, unknown>> & { readonly betas?: readonly [number, number] };
}

/**
 * A record with today's names, whichever version wrote it.
 *
 * @param stepsPerEpoch of the requested run: format 1 did not record how many steps a number of epochs was.
 */
export function upgraded(record: RunRecord, stepsPerEpoch: number): RunRecord {
  if (record.format !== 1) return { ...record, settings: { ...UNSHARDED, ...(record.settings as object) } };
  const { kind, shape, memory = 'fast', settings, ...rest } = record as OldRecord;
  if (kind === 'finetune') {
    const length = lengthOf(settings as unknown as TrainingSettings, stepsPerEpoch);
    return { ...rest, verb: kind, settings: { ...UNSHARDED, ...settings, ...length } };
  }
  const {
    learningRate,
    warmupSteps,
    minimumRatio,
    clipNorm,
    evaluateEvery,
    checkpointEvery,
    betas,
    ...same
  } = settings;
  // Format 1 had no guard, no patience, and only the last weights as the result.
  const fixed = {
    ...UNSHARDED,
    optimizer: 'adamw',
    states: 'float32',
    freeze: [],
    patience: 0,
    guard: 0,
    result: 'last',
    dtype: 'float32',
  };
  const renamed = { lr: learningRate, warmup: warmupSteps, minLrRatio: minimumRatio, clip: clipNorm };
  const [beta1, beta2] = betas ?? [];
  const every = { evalEvery: evaluateEvery, saveEvery: checkpointEvery };
  return {
    ...rest,
    verb: kind === 'distillation' ? 'distill' : 'train',
    settings: { ...fixed, memory, ...shape, ...renamed, beta1, beta2, ...every, ...same },
  };
}

function firstDifference(a: unknown, b: unknown, path: string): string | undefined {
  if (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null) {
    const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
      const difference = firstDifference(left[key], right[key], path === '' ? key : `${path}.${key}`);
      if (difference) return difference;
    }
    return undefined;
  }
  return a === b ? undefined : `"${path}" (${shown(a)}, now ${shown(b)})`;
}

/** A value in a message; a long one is shortened to its beginning. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length <= 60 ? text : `${text.slice(0, 56)} …`;
}
