import { RopewalkError } from '../../errors.ts';
import { createSchedule, scheduleSettings } from '../schedule.ts';
import { lengthOf, type RunLength, type TrainingSettings } from '../settings.ts';

/** What a run was started with: its verb, model, data and settings. Plain JSON. */
export type RunRecord = Readonly<Record<string, unknown>>;

/** Settings as a record has them: with the run's length and warm-up, whatever they followed from. */
export type RecordedSettings = TrainingSettings & RunLength;

/** Settings that change no number of any step: a run may be resumed with others. */
const HARMLESS: readonly string[] = ['keep', 'saveEvery', 'evalEvery', 'dtype', 'result'];
/** What says nothing of a run's numbers, or is compared apart. */
const APART: readonly string[] = ['format', 'begun', 'settings', 'epochs', 'steps'];

/**
 * Checks that a run can resume with the given settings: as it was started, but for settings that change no number, and for more
 * steps than before.
 *
 * @param stored as {@link upgraded} gives it.
 * @param ownWarmup whether the warm-up is asked for; one that only follows from the number of steps stays as it was.
 * @returns the record of the run from now on.
 * @throws RopewalkError naming the first field that differs, and both of its values.
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
  // An older record does not have all of today's fields; what it has must be the same.
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
    refuse(difference, 'Resume with the same options and text, or start anew in another folder.');
  if (settings.steps < before.steps) {
    refuse(
      `"steps" (${before.steps}, now ${settings.steps})`,
      'A run can be made longer, but not shorter: resume with at least as many, or start anew in another folder.',
    );
  }
  return { ...wanted, begun: stored.begun ?? wanted.begun, settings };
}

/**
 * What differs between two records of a run, and what becomes of it, as sentences.
 *
 * @param step where the run is.
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
    return difference ? [`${difference} changes no step`] : [];
  });
  if (after.steps === before.steps) return harmless;
  const rate = (settings: RecordedSettings) =>
    createSchedule({ ...pick(settings), ...scheduleSettings(settings) })(
      step + (settings.warmup > 0 ? 1 : 0),
    );
  const [was, is] = [rate(before), rate(after)].map((value) => value.toPrecision(3));
  const effect =
    was === is
      ? `the learning rate stays at ${is}`
      : `from here on the learning rate follows the ${after.schedule} over ${after.steps} steps: ${is}, where it was ${was}`;
  return [`${after.steps} steps in place of ${before.steps}: ${effect}`, ...harmless];
}

function pick({ schedule, lr, steps, warmup }: RecordedSettings) {
  return { schedule, lr, steps, warmup };
}

/** Records of format 1: each verb had names of its own. */
interface OldRecord extends RunRecord {
  readonly kind?: 'finetune' | 'distillation';
  readonly shape?: { readonly batch: number; readonly seq: number };
  readonly memory?: string;
  readonly settings: Readonly<Record<string, unknown>> & { readonly betas?: readonly [number, number] };
}

/**
 * A record in today's names, whichever version wrote it.
 *
 * @param stepsPerEpoch of the run as it is wanted: format 1 did not say how many steps a number of epochs were.
 */
export function upgraded(record: RunRecord, stepsPerEpoch: number): RunRecord {
  if (record.format !== 1) return record;
  const { kind, shape, memory = 'fast', settings, ...rest } = record as OldRecord;
  if (kind === 'finetune') {
    const length = lengthOf(settings as unknown as TrainingSettings, stepsPerEpoch);
    return { ...rest, verb: kind, settings: { ...settings, ...length } };
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
  // There was no guard, nor patience, nor a result but the last weights.
  const fixed = {
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

/** A value in a message: the beginning of a long one tells it from another. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length <= 60 ? text : `${text.slice(0, 56)} …`;
}
