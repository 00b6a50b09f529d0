import { beforeAll, describe, expect, it } from 'vitest';
import { buildProgram, type Finished, start } from './helpers/cli.node.ts';
import { softwareVulkan } from './helpers/vulkan.node.ts';

/** Optimizers on a device beside those on the CPU, which agree with PyTorch. In a process of its own: a driver may crash. */
const env = softwareVulkan();
if (!env) {
  console.log('skipped: there is no WebGPU in software of a Chromium in /usr/lib/chromium or CHROMIUM_PATH');
}

describe.runIf(env)('optimizers on a device', () => {
  let finished: Finished;
  let checks: Map<string, unknown>;
  beforeAll(async () => {
    const program = await buildProgram('test/helpers/device-optimizer-child.node.ts');
    finished = await start(program, [], { env }).finished;
    const lines = finished.stdout.split('\n').filter((line) => line.startsWith('{'));
    checks = new Map(
      lines.map((line) => {
        const { check, value } = JSON.parse(line) as { check: string; value: unknown };
        return [check, value];
      }),
    );
  }, 120_000);
  const result = (check: string) => checks.get(check) ?? `not reached: ${finished.stderr}`;

  it('are checked where an operator may not write what it reads', () => {
    expect(result('refuses one buffer for input and output')).toBe(true);
  });

  it.each([
    ['int8', /adamw cannot train on a device: .*not in int8.*states: 'float32'.*adafactor.*device: 'cpu'/],
    ['bfloat16', /not in bfloat16/],
    ['parts of a weight', /adafactor needs all of embedding \[301, 24\] .*choose optimizer: 'adamw'/],
  ])('refuses %s by name', (what, message) => {
    expect(result(`refuses ${what}`)).toMatch(message);
  });

  describe.each(['adamw', 'sgd', 'adafactor'])('%s', (label) => {
    it.each([1, 2, 3, 4])('gives the values of the CPU after %i steps', (steps) => {
      expect(result(`${label}: values after step ${steps}`)).toBeLessThanOrEqual(1e-6);
    });

    it('measures the norm and the factor that clips it', () => {
      expect(result(`${label}: norm`)).toBeLessThanOrEqual(1e-6);
      expect(result(`${label}: scale`)).toBeLessThanOrEqual(1e-6);
      expect(result(`${label}: scale without clipping`)).toBe(1);
    });

    it('shows a gradient that is not finite', () => {
      expect(result(`${label}: an infinite gradient`)).toEqual(['Infinity', 'NaN']);
    });

    it('has the state of the CPU, in its form', () => {
      expect(result(`${label}: same form`)).toBe(true);
      expect(result(`${label}: states`)).toBeLessThanOrEqual(1e-6);
    });

    it("continues from the CPU's checkpoint, and the CPU from its", () => {
      expect(result(`${label}: values after resuming each from the other`)).toBeLessThanOrEqual(1e-6);
    });
  });
});
