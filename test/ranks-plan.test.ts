import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withTable } from '../scripts/ranks-table.ts';
import { ropewalk } from './helpers/cli.node.ts';
import { HAS_MPI, mpirun } from './helpers/ranks.node.ts';

/** `--dry-run --ranks`: a plan for processes that are not started. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-ranks-plan-'));
const text = join(folder, 'text.txt');
beforeAll(() => writeFileSync(text, 'A rope that is walked is a rope that is made. '.repeat(200)));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const train = (...more: string[]) => [
  ...['train', '--family', 'llama', '--text', text, '--vocab-size', '280', '--seq', '24', '--batch', '16'],
  ...['--steps', '10', '--threads', '1', '--dry-run', ...more],
];

interface Plan {
  readonly trainedParameters: number;
  readonly memory: { readonly activations: number; readonly weights: number };
  readonly secondsPerStep: number;
  readonly ranks?: {
    readonly count: number;
    readonly bytes: number;
    readonly messages: number;
    readonly secondsCommunicating: number;
    readonly efficiency: number;
  };
}

async function plan(...more: string[]): Promise<Plan> {
  const { code, stdout, stderr } = await ropewalk(train('--json', ...more));
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Plan;
}

describe('--dry-run for processes that are not started', () => {
  it('has the memory of one of them, and what each sends', async () => {
    const one = await plan();
    expect(one.ranks).toBeUndefined();
    const eight = await plan('--ranks', '8', '--bandwidth', '200Mb/s', '--latency', '1ms');
    // A rank computes on 2 of 16 rows.
    expect(eight.memory.weights).toBe(one.memory.weights);
    expect(eight.memory.activations / one.memory.activations).toBeCloseTo(1 / 8, 2);
    const bytes = ((2 * 7) / 8) * 4 * one.trainedParameters;
    const communicating = 14e-3 + (8 * bytes) / ((200e6 * 1448) / 1538);
    const { secondsPerStep, ranks } = eight;
    expect(ranks).toMatchObject({ count: 8, bytes, messages: 14 });
    expect(ranks!.secondsCommunicating).toBeCloseTo(communicating, 9);
    expect(ranks!.efficiency).toBeCloseTo(1 - communicating / secondsPerStep, 9);
  });

  it('is printed', async () => {
    const { stdout } = await ropewalk(train('--ranks', '4', '--bandwidth', '1.25GB/s'));
    expect(stdout).toMatch(/^ranks +4: memory is that of each$/m);
    expect(stdout).toMatch(/^sent +\d+ MB by each rank in a step$/m);
    expect(stdout).toMatch(/^communication +\d\.\d\d s per step at 10 Gb\/s and 50 µs \(computed\)$/m);
    expect(stdout).toMatch(/^efficiency +\d+ % of 4 times one rank's speed \(computed\)$/m);
    expect(stdout).toMatch(/s per step, measured and computed\)$/m);
  });

  it('computes the table in the documentation', () => {
    const page = readFileSync(new URL('../docs/many-processors.md', import.meta.url), 'utf8');
    expect(withTable(page)).toBe(page);
  });

  it.each([
    [['--ranks', '3'], /cannot be dealt out to 3 ranks; choose a multiple of 3/],
    [['--ranks', '1'], /Give at least 2/],
    [['--ranks', '2', '--bandwidth', '10'], /Give a rate such as 1Gb\/s, 200Mb\/s or 1\.25GB\/s/],
    [['--ranks', '2', '--bandwidth', '1Gb/s', '--latency', '50'], /Give a time such as 50us or 0\.5ms/],
    [['--bandwidth', '10Gb/s'], /--bandwidth and --latency need --ranks N/],
    [['--ranks', '2', '--latency', '1ms'], /--latency needs --bandwidth/],
  ])('names the problem: %j', async (more, message) => {
    const { code, stderr } = await ropewalk(train(...more));
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  it('is nothing for a run', async () => {
    const run = train('--ranks', '2', '--out', join(folder, 'run')).filter((word) => word !== '--dry-run');
    const { code, stderr } = await ropewalk(run);
    expect(code).toBe(1);
    expect(stderr).toContain('use them with --dry-run, or start the processes: mpirun -n N npx ropewalk');
  });

  it.skipIf(!HAS_MPI)('is not mixed with processes that are started, which have a plan too', async () => {
    const both = await (await mpirun(2, train('--ranks', '4'))).finished;
    expect(both.code).not.toBe(0);
    expect(both.stderr).toContain('this plans for the 2 processes that are started; leave out --ranks');
    const { stdout, stderr, code } = await (await mpirun(2, train('--json'))).finished;
    expect(code, stderr).toBe(0);
    const { ranks, trainedParameters } = JSON.parse(stdout) as Plan;
    expect(ranks).toEqual({ count: 2, bytes: 4 * trainedParameters, messages: 2 });
  });
});
