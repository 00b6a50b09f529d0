import { describe, expect, it } from 'vitest';
import { communicationSeconds, efficiency, stepMessages } from './step-time.ts';

const MTU = 1448 / 1538;

describe('the time that ranks spend on communication', () => {
  it('is latency for each message in a row, and the bytes over the link', () => {
    const slow = { bandwidth: 1e9, latency: 1e-3 };
    expect(communicationSeconds({ bytes: 1e9, messages: 0 }, slow)).toBeCloseTo(8 / MTU, 9);
    expect(communicationSeconds({ bytes: 0, messages: 14 }, slow)).toBeCloseTo(14e-3, 12);
  });

  it('does not fall with links that are faster than a process', () => {
    const seconds = (bandwidth: number) =>
      communicationSeconds({ bytes: 1e9, messages: 0 }, { bandwidth, latency: 0 });
    expect(seconds(1e9)).toBeGreaterThan(3 * seconds(100e9));
    expect(seconds(100e9)).toBe(seconds(400e9));
  });

  it('has the messages of two collective operations, or of three for each block', () => {
    expect(stepMessages('none', 4, 10)).toBe(6);
    expect(stepMessages('states', 4, 10)).toBe(6);
    expect(stepMessages('all', 4, 10)).toBe(90);
  });

  it('leaves the share of a step in which the ranks compute', () => {
    expect(efficiency(3, 1)).toBe(0.75);
  });
});
