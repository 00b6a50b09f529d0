import { describe, expect, it } from 'vitest';
import { RopewalkError } from '../errors.ts';
import reference from './fixtures/schedules.json' with { type: 'json' };
import { createSchedule, type ScheduleSettings } from './schedule.ts';

describe("createSchedule against transformers' schedules", () => {
  it.each(reference.map(({ settings, rates }) => [JSON.stringify(settings), settings, rates] as const))(
    '%s',
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
    for (const kind of ['cosine', 'linear'] as const) {
      const schedule = createSchedule({ kind, learningRate: 2, totalSteps: 10, minimumRatio: 0.25 });
      expect(schedule(10)).toBe(0.5);
      expect(schedule(1000)).toBe(0.5);
    }
  });

  it('refuses settings out of range', () => {
    for (const settings of [
      { kind: 'constant', learningRate: -1 },
      { kind: 'constant', learningRate: 1, warmupSteps: 0.5 },
      { kind: 'linear', learningRate: 1, totalSteps: 3, warmupSteps: 4 },
      { kind: 'cosine', learningRate: 1, totalSteps: 3, minimumRatio: 2 },
    ] as const) {
      expect(() => createSchedule(settings)).toThrow(RopewalkError);
    }
  });
});
