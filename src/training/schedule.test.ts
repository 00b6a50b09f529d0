import { describe, expect, it } from 'vitest';
import { OptionError } from '../options.ts';
import reference from './fixtures/schedules.json' with { type: 'json' };
import { createSchedule, SCHEDULES, type ScheduleSettings } from './schedule.ts';

describe("createSchedule agrees with transformers' schedules", () => {
  it.each(reference.map(({ settings, rates }) => [JSON.stringify(settings), settings, rates] as const))(
    'for %s',
    (_title, settings, rates) => {
      const schedule = createSchedule(settings as ScheduleSettings);
      rates.forEach((rate, step) => {
        expect(Math.abs(schedule(step) - rate)).toBeLessThanOrEqual(1e-15);
      });
    },
  );
});

describe('createSchedule', () => {
  it('stays at the minimum after the last step', () => {
    for (const schedule of ['cosine', 'linear']) {
      const rate = createSchedule({ schedule, lr: 2, steps: 10, minLrRatio: 0.25 });
      expect(rate(10)).toBe(0.5);
      expect(rate(1000)).toBe(0.5);
    }
  });

  it.each(SCHEDULES)('%s begins at the peak after its warmup, and never rises above it', (schedule) => {
    const rate = createSchedule({ schedule, lr: 3, steps: 40, warmup: 10 });
    expect(rate(5)).toBe(1.5);
    expect(rate(10)).toBe(3);
    for (let step = 11; step < 60; step++) {
      expect(rate(step)).toBeLessThanOrEqual(rate(step - 1));
      expect(rate(step)).toBeGreaterThanOrEqual(0);
    }
  });

  it.each<[Partial<ScheduleSettings>, RegExp]>([
    [{ lr: -1 }, /^lr: give a number of at least 0, not -1\.$/],
    [{ warmup: 0.5 }, /^warmup: give a whole number of at least 0, not 0\.5\.$/],
    [{ warmup: 4 }, /^warmup: 4 is more than the 3 steps of the run; use fewer warm-up steps\.$/],
    [{ minLrRatio: 2 }, /^minLrRatio: give a number from 0 to 1, not 2\.$/],
    [
      { schedule: 'constant', minLrRatio: 0 },
      /^minLrRatio: the schedule constant has no such option; leave it out, or choose schedule: 'cosine' or schedule: 'linear'\.$/,
    ],
    [{ schedule: 'step' }, /^schedule: give cosine, linear or constant, not "step"\.$/],
  ])('refuses %o', (settings, message) => {
    const make = () => createSchedule({ schedule: 'cosine', lr: 1, steps: 3, ...settings });
    expect(make).toThrow(OptionError);
    expect(make).toThrow(message);
  });
});
