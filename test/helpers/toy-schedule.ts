import { count, option, share } from '../../src/options.ts';
import type { ScheduleRecord } from '../../src/training/schedule.ts';

const options = {
  drops: option(count, 'how often the rate falls', { value: 'n' }),
  minLrRatio: option(share, 'final learning rate, as a share of the peak', { value: 'r' }),
};

/** A schedule of somebody else's, whole in one file: a staircase from the peak to the end. */
export const stairs: ScheduleRecord<typeof options> = {
  name: 'stairs',
  options,
  defaults: { drops: 4, minLrRatio: 0.1 },
  share: (progress, { drops, minLrRatio }) =>
    1 - ((1 - minLrRatio) * Math.min(drops, Math.floor(progress * (drops + 1)))) / drops,
};
