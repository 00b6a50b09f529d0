import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findLibrary } from '../src/runtime/providers/find.node.ts';
import { buildProgram, type Finished, ropewalk, start } from './helpers/cli.node.ts';
import type { ReferenceErrors } from './helpers/reference-errors.node.ts';

const reference = fileURLToPath(new URL('./reference/', import.meta.url));
const llama = join(reference, 'llama');
const folder = mkdtempSync(join(tmpdir(), 'devices-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Neither variables nor a Python environment of this machine. */
const bare = {
  ...process.env,
  ...{ VIRTUAL_ENV: '', CONDA_PREFIX: '', ROPEWALK_CUDA_LIBRARY: '', ROPEWALK_OPENVINO_LIBRARY: '' },
};
const generate = (device: string, more: readonly string[] = [], env: NodeJS.ProcessEnv = bare) =>
  ropewalk(['generate', llama, '--ids', '1,2', '--max-tokens', '2', '--device', device, ...more], { env });

const RELEASE = 'void *ReleaseEpFactory(void *factory) { return 0; }';

/** Compiles a library in C; undefined without a compiler. */
function compile(name: string, source: string): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const path = join(folder, `${name}.so`);
  writeFileSync(join(folder, `${name}.c`), source);
  const { status } = spawnSync('cc', ['-shared', '-fPIC', '-o', path, join(folder, `${name}.c`), '-ldl']);
  return status === 0 ? path : undefined;
}

describe('a provider library that cannot be used', () => {
  const text = join(folder, 'text.so');
  writeFileSync(text, 'not a library');
  it.each([
    [
      'that is nowhere',
      'openvino',
      /no library of the openvino provider.*pip install .*ROPEWALK_OPENVINO_LIBRARY/,
    ],
    ['that does not exist', join(folder, 'none.so'), /none\.so does not exist/],
    ['that is a folder', `${folder}/`, /is not a file/],
    ['that is text', text, /text\.so is not an? \S+ library/],
    [
      'by a wrong name',
      'gpu',
      /--device <name>.*Give cpu, webgpu, cuda, openvino, or the path of a provider library/,
    ],
  ])('%s is refused in one line', async (_, device, message) => {
    const { code, stderr } = await generate(device);
    expect(stderr.trim()).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(code).toBe(1);
  });

  it('that is another library is refused', async () => {
    const require = createRequire(import.meta.url);
    const path = join(
      require.resolve('koffi'),
      '..',
      '..',
      '@koromix',
      `koffi-${process.platform}-${process.arch}`,
    );
    const [file] = existsSync(path)
      ? readdirSync(path, { recursive: true, encoding: 'utf8' }).filter(
          (name) => name.startsWith(`${process.platform}_`) && name.endsWith('.node'),
        )
      : [];
    if (!file) return console.log("skipped: koffi's library is not where it was expected");
    const library = join(folder, 'other.so');
    writeFileSync(library, readFileSync(join(path, file)));
    const { code, stderr } = await generate(library);
    expect(stderr).toMatch(/other\.so is no provider library: it lacks CreateEpFactories/);
    expect(code).toBe(1);
  });

  const crashing = compile('crashing', `${RELEASE} int CreateEpFactories(void) { __builtin_trap(); }`);
  if (!crashing) console.log('skipped: no C compiler to make provider libraries that crash');
  it.runIf(crashing)('that crashes is refused, and Ropewalk does not crash', async () => {
    const { code, stderr } = await generate(crashing!);
    expect(stderr).toMatch(/crashing\.so cannot be used as a provider library: it crashed \(SIG\w+\)/);
    expect(code).toBe(1);
  });

  // As libraries do that were made for a later version: they ask for its interface, and use what they are given.
  const newer = compile(
    'newer',
    `typedef struct { const void *(*get)(unsigned); const char *(*version)(void); } Base;
     void *CreateEpFactories(const char *name, const Base *base, const void *logger, void **out, unsigned long max,
                             unsigned long *count) {
       return (void *)((void *const *)base->get(99))[0];
     }
     ${RELEASE}`,
  );
  it.runIf(newer)('that was made for a newer engine is refused with both versions', async () => {
    const { code, stderr } = await generate(newer!);
    expect(stderr).toMatch(
      /newer\.so was made for a newer ONNX Runtime \(interface version 99; this one has \d+\)/,
    );
    expect(code).toBe(1);
  });

  const empty = compile(
    'empty',
    `void *CreateEpFactories(const char *name, const void *base, const void *logger, void **out, unsigned long max,
                             unsigned long *count) { *count = 0; return 0; }
     ${RELEASE}`,
  );
  it.runIf(empty)('that offers no device is refused', async () => {
    const { code, stderr } = await generate(empty!);
    expect(stderr).toMatch(/empty\.so offers no device on this machine\..*--device cpu/);
    expect(code).toBe(1);
  });

  it('is what doctor reports, and names what to install', async () => {
    const { code, stdout, stderr } = await ropewalk(['doctor', '--json', '--device', text], { env: bare });
    expect(code, stderr).toBe(0);
    const { libraries } = JSON.parse(stdout).engine;
    expect(libraries.openvino.state).toMatch(/pip install "onnxruntime-ep-openvino==/);
    expect(libraries.cuda.state).toMatch(/pip install "onnxruntime-gpu\[/);
    expect(libraries[text]).toEqual({
      library: text,
      state: expect.stringMatching(/^does not work: .*is not an?/),
    });
  });
});

it.each([
  ['generate', ['generate', llama, '--ids', '1', '--precision', 'bfloat16']],
  ['score', ['score', llama, '--ids', '1,2', '--precision', 'bfloat16']],
])('%s refuses a precision that the CPU does not compute in', async (_, args) => {
  const { code, stderr } = await ropewalk(args, { env: bare });
  expect(stderr).toMatch(/--precision bfloat16 needs a device that computes in it/);
  expect(code).toBe(1);
});

/**
 * OpenVINO's library: the user's, or on processors of other makers, through the wrapper that docs/devices.md describes, if
 * there is a compiler.
 */
function openvino(): { readonly device: string; readonly env: NodeJS.ProcessEnv } | undefined {
  let library: string;
  try {
    library = findLibrary({ name: 'openvino' });
  } catch {
    return undefined;
  }
  const isIntel = /GenuineIntel/.test(
    existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '',
  );
  if (isIntel || process.env.ROPEWALK_OPENVINO_LIBRARY) return { device: library, env: process.env };
  const source = readFileSync(new URL('../verify/openvino/any-processor.c', import.meta.url), 'utf8');
  const wrapper = compile('any-processor', source);
  if (!wrapper) return undefined;
  return { device: wrapper, env: { ...process.env, ROPEWALK_WRAPPED_LIBRARY: library } };
}

const found = openvino();
if (!found) {
  console.log(
    'skipped: OpenVINO: no library in an active Python environment or in ROPEWALK_OPENVINO_LIBRARY (see docs/devices.md)',
  );
}

describe.runIf(found)("on OpenVINO's CPU device", () => {
  const cases = ['gpt', 'gemma2', 'llama', 'gemma3', 'qwen2'];
  const { device, env } = found ?? { device: '', env: {} };
  let finished: Finished;
  let errors: ReadonlyMap<string, ReferenceErrors & { int8?: number; int4?: number }>;
  beforeAll(async () => {
    const program = await buildProgram('test/helpers/provider-child.node.ts');
    finished = await start(program, [device, 'float32', ...cases], { env }).finished;
    const lines = finished.stdout.split('\n').filter((line) => line.startsWith('{'));
    errors = new Map(lines.map((line) => JSON.parse(line)).map((each) => [each.case, each]));
  });

  it.each(cases)('%s gives the logits of transformers and the gradients of PyTorch', (name) => {
    const { full, cached, gradients } = errors.get(name) ?? expect.fail(finished.stderr);
    expect(full).toBeLessThanOrEqual(2e-5);
    expect(cached).toBeLessThanOrEqual(2e-5);
    expect(gradients).toBeLessThanOrEqual(1e-4);
  });

  it('multiplies quantized weights with activations that keep their precision', () => {
    const { int8, int4 } = errors.get('quantized') ?? expect.fail(finished.stderr);
    expect(int8).toBeLessThanOrEqual(1e-5);
    expect(int4).toBeLessThanOrEqual(1e-5);
  });

  it('runs all nodes itself, which doctor shows with its capabilities', async () => {
    const { stdout, stderr, code } = await ropewalk(['doctor', '--json', '--device', device], { env });
    expect(code, stderr).toBe(0);
    const report = JSON.parse(stdout).engine.libraries[device];
    expect(report).toMatchObject({ library: device, state: 'works' });
    const [, own, all] = /^(\d+) of (\d+)$/.exec(report.nodes)!;
    expect(own).toBe(all);
    expect(report.devices[0]).toMatch(/^OpenVINOExecutionProvider by Intel .*; cpu, .*capabilities .*FP32/);
  });

  it('computes in bfloat16 only where the processor has it', async () => {
    const { stdout } = await ropewalk(['doctor', '--json', '--device', device], { env });
    const has = /capabilities.*\bBF16\b/.test(JSON.parse(stdout).engine.libraries[device].devices[0]);
    const { code, stderr } = await generate(device, ['--precision', 'bfloat16'], env);
    if (!has) expect(stderr).toMatch(/--precision bfloat16 is not possible on .*OPTIMIZATION_CAPABILITIES/);
    expect(code, stderr).toBe(has ? 0 : 1);
  });

  it('refuses a device that the library does not offer', async () => {
    const { code, stderr } = await generate(`${device}:7`, [], env);
    expect(stderr).toMatch(/--device: .* offers .*cpu \(\d\).*, but no device 7\./);
    expect(code).toBe(1);
  });

  it('trains, and its model runs on the CPU', async () => {
    const text = join(folder, 'text.txt');
    writeFileSync(text, 'the rope is laid and the rope is walked. '.repeat(80));
    const train = (out: string, on: string) =>
      ropewalk(
        [
          'train',
          '--family',
          'llama',
          '--text',
          text,
          '--vocab-size',
          '280',
          '--batch',
          '2',
          '--seq',
          '32',
        ].concat(['--steps', '4', '--json', '--out', join(folder, out), '--device', on]),
        { env },
      );
    const [onCpu, onDevice] = [await train('on-cpu', 'cpu'), await train('on-device', device)];
    expect(onDevice.code, onDevice.stderr).toBe(0);
    const loss = ({ stdout }: Finished) => JSON.parse(stdout).loss as number;
    expect(Math.abs(loss(onDevice) - loss(onCpu))).toBeLessThan(1e-4);
  });
});
