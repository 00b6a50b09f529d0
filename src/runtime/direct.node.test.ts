import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { symbol } from '../graph/dims.ts';
import { concat, exp, input, matmul } from '../graph/operators/index.ts';
import { nodeEngine } from './engine.node.ts';
import { Executable, type HostTensor } from './executable.ts';

const direct = nodeEngine({ threads: 1 });
const binding = nodeEngine({ threads: 1 }, { binding: true });

const time = symbol('time');
const graph = () => {
  const x = input('x', 'float32', [time, 3]);
  const w = input('w', 'float32', [3, 2]);
  return new Map([
    ['y', matmul(x, w)],
    ['e', exp(concat([x, x], 0))],
  ]);
};

function feeds(rows: number, from = 0): Record<string, HostTensor> {
  const x = Float32Array.from({ length: rows * 3 }, (_, i) => Math.sin(i + from));
  return { x: { data: x, shape: [rows, 3] }, w: { data: Float32Array.of(1, 2, 3, 4, 5, 6), shape: [3, 2] } };
}

describe('the C interface of the engine', () => {
  it('is used where koffi is installed', () => {
    expect(direct.name).toBe('onnxruntime (C interface)');
    expect(binding.name).toBe('onnxruntime-node');
  });

  it('gives the same bits as the binding, whatever the sizes of a run', async () => {
    const a = await Executable.compile(direct, graph());
    const b = await Executable.compile(binding, graph());
    for (const rows of [1, 4, 2, 4]) {
      const given = feeds(rows, rows);
      expect(await a.run(given)).toEqual(await b.run(given));
    }
    await a.release();
    await b.release();
  });

  it('writes into the given arrays, and sees changes in the inputs', async () => {
    const executable = await Executable.compile(direct, graph());
    const given = feeds(2);
    const y = new Float32Array(4);
    const first = await executable.run(given, { y });
    expect(first.y!.data).toBe(y);
    const copy = y.slice();
    (given.x!.data as Float32Array).fill(0);
    await executable.run(given, { y });
    expect(copy.every((value) => value !== 0)).toBe(true);
    expect([...y]).toEqual([0, 0, 0, 0]);
    await executable.release();
  });

  it('writes a profile that is complete once it has been ended', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ropewalk-profile-'));
    try {
      const executable = await Executable.compile(direct, graph(), { profile: join(folder, 'run') });
      await executable.run(feeds(2));
      executable.endProfiling();
      const [file] = readdirSync(folder);
      const events = JSON.parse(readFileSync(join(folder, file!), 'utf8')) as {
        args?: { op_name?: string };
      }[];
      expect(events.map(({ args }) => args?.op_name)).toContain('MatMul');
      await executable.release();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('runs on empty sequences', async () => {
    const executable = await Executable.compile(direct, graph());
    const { y, e } = await executable.run(feeds(0));
    expect([y!.shape, e!.shape]).toEqual([
      [0, 2],
      [0, 3],
    ]);
    await executable.release();
  });

  it("reports the engine's errors, and refuses to run after release", async () => {
    const { runtime } = direct;
    await expect(
      runtime.InferenceSession.create(Uint8Array.of(1, 2, 3), { graphOptimizationLevel: 'all' }),
    ).rejects.toThrow(/protobuf|parse|load model/i);
    const executable = await Executable.compile(direct, graph());
    const bad = { ...feeds(2), w: { data: new Float32Array(8), shape: [4, 2] } };
    await expect(executable.run(bad)).rejects.toThrow(/shape \[4, 2\]/);
    await executable.release();
    await executable.release();
    await expect(executable.run(feeds(2))).rejects.toThrow(/released/);
  });

  it('lets the event loop run between runs', async () => {
    const executable = await Executable.compile(direct, graph());
    let ticks = 0;
    const timer = setInterval(() => ticks++, 0);
    for (let i = 0; i < 200; i++) await executable.run(feeds(2));
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(0);
    await executable.release();
  });
});
