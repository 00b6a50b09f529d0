import { z } from 'zod';
import { option as named } from '../errors.ts';
import { listed, OptionError, option, parseOptions, share, together } from '../options.ts';

/** The learning rate of a step, given the number of completed steps: the first is schedule(0). */
export type Schedule = (step: number) => number;

/**
 * Everything about a schedule: the rate after the warm-up. Flags, help and errors follow from the list below, the
 * only place to add one.
 */
export interface ScheduleRecord<Shape extends z.ZodRawShape = z.ZodRawShape> {
  readonly name: string;
  readonly options: Shape;
  readonly defaults: Readonly<z.output<z.ZodObject<Shape>>>;
  /**
   * The share of the peak rate.
   *
   * @param progress 0 at the end of the warm-up, 1 from the last step on.
   */
  readonly share: (progress: number, options: Readonly<z.output<z.ZodObject<Shape>>>) => number;
}

const ending = {
  options: { minLrRatio: option(share, 'final learning rate, as a share of the peak', { value: 'r' }) },
  defaults: { minLrRatio: 0.1 },
};

function falling(name: string, shape: (progress: number) => number): ScheduleRecord<typeof ending.options> {
  return { name, ...ending, share: (at, { minLrRatio }) => minLrRatio + (1 - minLrRatio) * shape(at) };
}

const RECORDS = [
  // Half a cosine: Loshchilov and Hutter, 2017.
  falling('cosine', (progress) => 0.5 * (1 + Math.cos(Math.PI * progress))),
  falling('linear', (progress) => 1 - progress),
  { name: 'constant', options: {}, defaults: {}, share: () => 1 },
] as const;

export const SCHEDULES = RECORDS.map(({ name }) => name) as [string, ...string[]];

/** The options of all schedules, by name. */
export const scheduleOptions = together(RECORDS);
export type ScheduleOptions = Partial<z.output<z.ZodObject<typeof scheduleOptions>>>;

/** The settings that are options of a schedule. */
export function scheduleSettings(settings: object): ScheduleOptions {
  return Object.fromEntries(
    Object.entries(settings).filter(([name]) => Object.hasOwn(scheduleOptions, name)),
  );
}

export interface ScheduleSettings extends ScheduleOptions {
  /** One of {@link SCHEDULES}. */
  readonly schedule: string;
  /** The peak, reached at the end of the warm-up. */
  readonly lr: number;
  /** Steps of the whole run, including the warm-up. */
  readonly steps: number;
  /** Steps in which the rate increases linearly from 0. Default 0. */
  readonly warmup?: number;
}

export function scheduleRecord(name: string): ScheduleRecord {
  const record = RECORDS.find((each) => each.name === name);
  if (!record) throw new OptionError('schedule', `give ${listed(SCHEDULES)}, not ${JSON.stringify(name)}.`);
  return record as ScheduleRecord;
}

/** The schedules that have an option. */
export function schedulesWith(name: string): string[] {
  return RECORDS.filter(({ options }) => Object.hasOwn(options, name)).map((record) => record.name);
}

/** The options of a schedule, completed with defaults. @throws OptionError for one that it does not have. */
export function scheduleOptionsOf(name: string, given: ScheduleOptions): Readonly<Record<string, unknown>> {
  const record = scheduleRecord(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || Object.hasOwn(record.options, key)) continue;
    const choices = schedulesWith(key).flatMap((other, i) => [
      i === 0 ? ', or choose ' : ' or ',
      named('schedule', other),
    ]);
    throw new OptionError(key, [`the schedule ${name} has no such option; leave it out`, ...choices, '.']);
  }
  return { ...record.defaults, ...parseOptions(z.strictObject(record.options).partial(), given) };
}

/**
 * A schedule as a pure function of the step. The values are those of transformers' get_constant_schedule_with_warmup,
 * get_cosine_with_min_lr_schedule_with_warmup and get_linear_schedule_with_warmup: with a warm-up, schedule(0) is 0.
 *
 * @throws OptionError when a setting is out of range.
 */
export function createSchedule({ schedule, lr, steps, warmup = 0, ...rest }: ScheduleSettings): Schedule {
  const options = scheduleOptionsOf(schedule, rest);
  if (!(Number.isFinite(lr) && lr >= 0)) {
    throw new OptionError('lr', `give a number of at least 0, not ${lr}.`);
  }
  for (const [name, value] of Object.entries({ steps, warmup })) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new OptionError(name, `give a whole number of at least 0, not ${value}.`);
    }
  }
  if (warmup > steps) {
    throw new OptionError(
      'warmup',
      `${warmup} is more than the ${steps} steps of the run; use fewer warm-up steps.`,
    );
  }
  const { share: shareOf } = scheduleRecord(schedule);
  const falls = Math.max(1, steps - warmup);
  return (step) =>
    lr * (step < warmup ? step / warmup : shareOf(Math.min(1, (step - warmup) / falls), options));
}
