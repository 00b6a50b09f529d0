import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildProgram, type Finished, start, startCommand } from './helpers/cli.node.ts';
import { softwareVulkan } from './helpers/vulkan.node.ts';

/** Training on a device beside training on the CPU, which agrees with PyTorch. In a process of its own: a driver may crash. */
const env = softwareVulkan();
if (!env) {
  console.log('skipped: there is no WebGPU in software of a Chromium in /usr/lib/chromium or CHROMIUM_PATH');
}

describe.runIf(env)('training on a device', () => {
  let finished: Finished;
  let checks: Map<string, unknown>;
  beforeAll(async () => {
    const program = await buildProgram('test/helpers/webgpu-training-child.node.ts');
    finished = await start(program, [], { env }).finished;
    const lines = finished.stdout.split('\n').filter((line) => line.startsWith('{'));
    checks = new Map(
      lines.map((line) => {
        const { check, value } = JSON.parse(line) as { check: string; value: unknown };
        return [check, value];
      }),
    );
  }, 900_000);
  const result = (check: string) => checks.get(check) ?? `not reached: ${finished.stderr}`;

  it('is checked where an operator may not write what it reads', () => {
    expect(result('full validation')).toBe(true);
  });

  it('tells its limits, which it takes from the engine, and that it computes in software', () => {
    expect(result('limits')).toEqual({
      ...{ kind: 'software', name: expect.stringContaining('SwiftShader') },
      ...{ bufferBytes: 2 ** 30, bindingBytes: 2 ** 30 },
    });
  });

  it.each(['a buffer that the driver refuses', 'a buffer above the limit'])(
    'refuses %s when it is allocated, and goes on',
    (what) => {
      expect(result(what)).toMatch(/^the graphics card has too little memory .*largest buffer is too small/);
      expect(result('a buffer after those')).toBe(true);
    },
  );

  it('refuses what would run on the processor', () => {
    expect(result('refuses the processor')).toMatch(/has no kernel .*device: 'cpu'/);
  });

  describe.each([
    ['llama/tiny, fast', 'micro-batches that are added up'],
    ['llama/tiny, parted', 'its table in several tensors'],
    ['gemma2/tiny, recompute', 'packed rows'],
    ['gpt/tiny, light', 'blocks that are updated one by one'],
  ])('%s: %s', (label) => {
    it('gives the losses and the gradient norms of the CPU', () => {
      expect(result(`${label}: loss`)).toBeLessThanOrEqual(1e-4);
      expect(result(`${label}: norm`)).toBeLessThanOrEqual(1e-4);
      expect(result(`${label}: held-out loss`)).toBeLessThanOrEqual(1e-4);
    });

    it('gives the weights of the CPU', () => {
      expect(result(`${label}: weights`)).toBeLessThanOrEqual(1e-3);
    });

    it('sends ids and masks, and at most 1 kB more a step', () => {
      expect(result(`${label}: bytes beyond ids and masks`)).toBeLessThanOrEqual(1024);
    });

    it('takes the memory that the plan says', () => {
      expect(result(`${label}: planned memory`)).toBeGreaterThan(0.95);
      expect(result(`${label}: planned memory`)).toBeLessThan(1.05);
    });

    it('takes no more memory with further steps', () => {
      expect(result(`${label}: memory`)).toBe(1);
    });

    it('continues from saved states with the same bits', () => {
      expect(result(`${label}: resumed`)).toBe(true);
    });

    it('leaves the weights as they are if the step is refused', () => {
      expect(result(`${label}: refused`)).toBe(true);
    });
  });
});

describe.runIf(env)('the plan of a run on a device', () => {
  it('times a step there, and ends without an error', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ropewalk-device-plan-'));
    const text = join(folder, 'text.txt');
    writeFileSync(text, 'The quick brown fox jumps over the lazy dog. '.repeat(200));
    const program = await buildProgram('bin/ropewalk.js');
    const sizes = ['--vocab-size', '300', '--batch', '1', '--seq', '8'];
    const given = ['train', '--family', 'llama', '--text', text, '--out', join(folder, 'run'), ...sizes];
    const { code, signal, stdout, stderr } = await start(
      program,
      [...given, '--device', 'webgpu', '--dry-run'],
      { env },
    ).finished;
    rmSync(folder, { recursive: true });
    expect({ code, signal }, stderr).toEqual({ code: 0, signal: null });
    expect(stdout).toMatch(/device memory .*largest buffer 1\.1 GB.*s per step, measured/s);
  }, 300_000);
});

describe.runIf(env)('passes of training on a device', () => {
  it('are all there: no operator runs on the processor, and none copies between the two', async () => {
    const program = await buildProgram('test/helpers/webgpu-placement-child.node.ts');
    const folder = mkdtempSync(join(tmpdir(), 'ropewalk-placement-'));
    const log = join(folder, 'log');
    // A file: Node makes a pipe one that is full now and then, and the engine then writes no more.
    const script = 'exec "$0" "$1" 2> "$2"';
    const { code, stdout } = await startCommand('sh', ['-c', script, process.execPath, program, log], { env })
      .finished;
    const stderr = readFileSync(log, 'utf8');
    rmSync(folder, { recursive: true });
    expect(code, stderr.slice(-2000)).toBe(0);
    const { compiled } = JSON.parse(stdout) as { compiled: number };
    const placed = stderr.match(/ placed on \[\w+\]/g)!;
    expect(stderr.match(/Node placements/g)!.length).toBe(compiled);
    expect(placed.length).toBe(compiled);
    expect(new Set(placed)).toEqual(new Set([' placed on [WebGpuExecutionProvider]']));
    const copying = stderr.match(/MemcpyTransformer modified: \d/g)!;
    expect(copying.length).toBe(compiled);
    expect(new Set(copying)).toEqual(new Set(['MemcpyTransformer modified: 0']));
    expect(compiled).toBeGreaterThan(40);
  }, 300_000);
});
