import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildProgram, type Finished, ROOT, start } from './helpers/cli.node.ts';
import { softwareVulkan } from './helpers/vulkan.node.ts';

/** What a device cannot do ends a run where it happens. In processes of their own: a driver may crash. */
const env = softwareVulkan();
if (!env) {
  console.log('skipped: there is no WebGPU in software of a Chromium in /usr/lib/chromium or CHROMIUM_PATH');
}

const NO_ROOM =
  /^(memory: )?the graphics card has too little memory .*largest buffer is too small\. .*device: 'cpu'/;

async function checksOf(source: string): Promise<(check: string) => unknown> {
  const { stdout, stderr } = await start(await buildProgram(source), [], { env }).finished;
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
  const found = lines.map((line) => JSON.parse(line) as { check: string; value: unknown });
  const values = new Map(found.map(({ check, value }) => [check, value]));
  return (check) => values.get(check) ?? `not reached: ${stderr}`;
}

describe.runIf(env)('a device without room for a value', () => {
  let result: (check: string) => unknown;
  beforeAll(async () => {
    result = await checksOf('test/helpers/webgpu-failures-child.node.ts');
  }, 120_000);

  it.each([
    ['a value within a bound run', "Choose memory: 'recompute'"],
    ['a value within a step', "Choose memory: 'recompute'"],
    ['a value within a run', "Quantize the weights (quantize: 'int4')"],
    ['a value within a run, again', "Quantize the weights (quantize: 'int4')"],
  ])('is an error of the run, with what helps: %s', (check, helps) => {
    expect(result(check)).toMatch(NO_ROOM);
    expect(result(check)).toContain(helps);
  });

  it('computes what it has room for', () => {
    // 1 MiB of numbers: 2 · 3 + 1
    expect(result('right after those')).toEqual([7 * 2 ** 18, 7 * 2 ** 18]);
  });
});

describe.runIf(env)('a device without room for a copy', () => {
  let result: (check: string) => unknown;
  beforeAll(async () => {
    result = await checksOf('test/helpers/webgpu-copies-child.node.ts');
  }, 120_000);

  it.each(['left out', 'left out, float16'])('does not keep what it had: %s', (check) => {
    expect(result(check)).toMatch(NO_ROOM);
  });

  it('is not suspected whatever the data begins with', () => {
    expect(new Set(result('whole') as string[])).toEqual(new Set(['the same']));
    expect(result('whole, float16')).toBe('the same');
  });

  it('is noticed in the third of four copies', () => {
    expect(result('copies')).toBe(4);
  });
});

describe.runIf(env)('a run on a device that has no room in its third step', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ropewalk-device-failure-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const out = join(folder, 'run');
  /** Before its third update, the learner runs a graph with a tensor of 2 GiB on its device. */
  const tooMuch = `
    if (++steps === 3) {
      const x = graphs.input('x', 'float32', [2 ** 17, 1]);
      const wide = graphs.mul(graphs.broadcastTo(x, [2 ** 17, 4096]), graphs.scalar(2));
      const pass = await Executable.compile(used, new Map([['y', graphs.reduceSum(wide, [0, 1])]]));
      const { memory } = this.onDevice;
      const given = { x: memory.allocate('float32', [2 ** 17, 1]) };
      pass.bind(given, { y: memory.allocate('float32', [1, 1]) }).run();
    }`;
  const changed = {
    as: 'without-room',
    plugin: {
      name: 'no room in the third step',
      setup: ({ onLoad }: Parameters<import('esbuild').Plugin['setup']>[0]) =>
        onLoad({ filter: /on-device\/device-learner\.ts$/ }, ({ path }) => {
          const replaced = (text: string, at: string, by: string) => {
            if (text.split(at).length !== 2) throw new Error(`${path} has no "${at}", or several`);
            return text.replace(at, by);
          };
          const begun = 'const factor = this.lossScale?.factor ?? 1;\n    const tokens = await';
          const made = "if (!engine.openMemory) throw new RopewalkError('this engine keeps";
          let text = readFileSync(path, 'utf8');
          text = replaced(text, begun, `${tooMuch}\n${begun}`);
          text = replaced(text, made, `used = engine;\n${made}`);
          const imports = [
            `import * as graphs from ${JSON.stringify(join(ROOT, 'src/graph/operators/index.ts'))};`,
            `import { Executable } from ${JSON.stringify(join(ROOT, 'src/runtime/executable.ts'))};`,
          ];
          return { contents: `${imports.join('\n')}\nlet used; let steps = 0;\n${text}`, loader: 'ts' };
        }),
    },
  };
  const given = [
    ...['train', '--family', 'llama', '--text', join(folder, 'text.txt'), '--out', out],
    ...['--vocab-size', '280', '--batch', '1', '--seq', '8', '--steps', '4', '--warmup', '1'],
    ...['--save-every', '2', '--eval-every', '0'],
  ];
  let failed: Finished;
  beforeAll(async () => {
    writeFileSync(join(folder, 'text.txt'), 'A rope that is walked is a rope that is made. '.repeat(80));
    const program = await buildProgram('bin/ropewalk.js', changed);
    failed = await start(program, [...given, '--device', 'webgpu'], { env }).finished;
  }, 300_000);

  it('ends with what to do, in one line', () => {
    expect(failed.code, failed.stderr).toBe(1);
    const said = failed.stderr.split('\n').filter((line) => /^ropewalk:|onnxruntime/.test(line));
    expect(said).toEqual([
      expect.stringMatching(
        /^ropewalk: training stopped at step 3: the graphics card has too little memory .*Choose --memory recompute or .*--device cpu\)\.$/,
      ),
    ]);
  });

  it('resumes from its checkpoint on the CPU', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    const { code, stderr } = await start(program, [...given, '--resume']).finished;
    expect(code, stderr).toBe(0);
    const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
    const events = lines.map((line) => JSON.parse(line) as { type: string; step: number });
    expect(events.filter(({ type }) => type === 'step').map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  }, 120_000);
});
