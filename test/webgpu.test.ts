import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildProgram, type Finished, ropewalk, start } from './helpers/cli.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';
import { softwareVulkan } from './helpers/vulkan.node.ts';

/**
 * The same logits on WebGPU as transformers gives (test/reference/README.md), to 1e-5 of the largest; on a graphics card
 * where there is no software for it. Every check runs in a process of its own: a driver may crash.
 */
const BOUND = 1e-5;

const reference = fileURLToPath(new URL('./reference/', import.meta.url));
const cases = readdirSync(reference).filter((name) => existsSync(`${reference}${name}/expected.safetensors`));
const env = softwareVulkan();
const child = (args: readonly string[]) =>
  buildProgram('test/helpers/webgpu-child.node.ts').then((program) => start(program, args, { env }).finished);

async function works(): Promise<boolean> {
  const { code, stderr } = await child([]);
  if (code === 0) return true;
  // Whatever else is wrong is for the tests to show.
  return !/WebGPU found no usable graphics card|has no WebGPU/.test(stderr);
}

const available = env !== undefined || (await works());
if (!available) {
  console.log(
    'skipped: WebGPU finds neither a graphics card nor the software of a Chromium in /usr/lib/chromium or CHROMIUM_PATH',
  );
}

function linesOf<T>({ stdout }: Finished): T[] {
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line) as T);
}

interface Check {
  readonly case: string;
  readonly check: string;
  readonly error: number;
}

describe.runIf(available)('a model on WebGPU', () => {
  let finished: Finished;
  let checks: Check[];
  let cached: Finished;
  let cacheChecks: Map<string, unknown>;
  beforeAll(async () => {
    const program = await buildProgram('test/helpers/webgpu-cache-child.node.ts');
    cached = await start(program, [], { env }).finished;
    cacheChecks = new Map(
      linesOf<{ check: string; value: unknown }>(cached).map(({ check, value }) => [check, value]),
    );
    finished = await child(cases);
    checks = linesOf<Check>(finished);
  });

  const errorOf = (name: string, check: string) =>
    checks.find((one) => one.case === name && one.check === check)?.error ??
    `not reached: ${finished.stderr}`;

  describe.each(cases)('of the family %s', (name) => {
    it.each(['without a cache', 'with a cache'])('gives the logits of transformers %s', (check) => {
      expect(errorOf(name, check)).toBeLessThanOrEqual(BOUND);
    });
  });

  it.each(['gemma2', 'gpt2'])('gives the gradients of PyTorch in float64: %s', (name) => {
    expect(errorOf(name, 'gradients')).toBeLessThanOrEqual(1e-4);
  });

  describe.each(['8 bits', '4 bits'])('with weights in %s', (bits) => {
    // The rows of this model, of 32 and 64 numbers, are too short for the kernel with 8-bit activations: it gives the
    // product of the numbers that the bits stand for, which float32 holds to 1e-6, whatever activations are asked for.
    const QUANTIZED = 1e-4;

    it.each(['exact', 'int8'])('gives the logits of the dequantized weights: %s', (activations) => {
      expect(errorOf('llama', `${bits}, ${activations}`)).toBeLessThanOrEqual(QUANTIZED);
    });

    it.each([
      ['weights that are not quantized', 'unquantized'],
      ["one block's scale, of whichever weight, that is off by 5 %", 'wrong scale'],
    ])('would notice %s', (_, check) => {
      expect(errorOf('llama', `${bits}, ${check}`)).toBeGreaterThan(5 * QUANTIZED);
    });
  });

  const products = [8, 4].flatMap((bits) =>
    [32, 128].flatMap((block) =>
      [1, 8].flatMap((tokens) =>
        ['exact', 'int8'].map(
          (activations) => `${bits} bits, blocks of ${block}, ${tokens} tokens, ${activations}`,
        ),
      ),
    ),
  );
  it.each(products)('gives the product in float64, and would notice a wrong scale: %s', (name) => {
    // Activations, where they are rounded, are so in the reference too: what is left is float32.
    expect(errorOf(name, 'error')).toBeLessThanOrEqual(1e-5);
    expect(errorOf(name, 'wrongScale')).toBeGreaterThan(1e-4);
  });

  describe.each([
    ['with a kernel for its attention', 'mistral', 'GroupQueryAttention', 100],
    ['without', 'gemma2', 'ScatterND', 300],
  ])('keeps the caches of a model %s on the device', (_, name, kernel, bytes) => {
    const of = (check: string) => cacheChecks.get(`${name}: ${check}`) ?? `not reached: ${cached.stderr}`;

    it.each([
      ['far past the window, rewound and forked', 'cache'],
      ['for sequences that join and leave a batch', 'batch'],
    ])('with the logits of the CPU, %s', (_what, check) => {
      expect(of(check)).toBeLessThanOrEqual(1e-5);
    });

    it('with the greedy texts of the CPU: alone, with guesses from the text, with a known prefix', () => {
      expect([of('texts'), of('prefix')]).toEqual([true, true]);
    });

    it('where only ids, places and angles of a new token go up, and its logits come down', () => {
      expect(of('written')).toBeLessThanOrEqual(bytes);
      expect(of('read')).toBe(0);
    });

    it('without an operator or a copy of a value elsewhere', () => {
      expect(of('attention')).toEqual([kernel]);
      expect(of('elsewhere')).toEqual([]);
    });

    it('and frees them', () => {
      expect(of('leaked')).toBeLessThanOrEqual(0);
    });
  });

  it('lets its process exit cleanly', () => {
    expect({ code: cached.code, signal: cached.signal }, cached.stderr).toEqual({ code: 0, signal: null });
    expect({ code: finished.code, signal: finished.signal }).toEqual({ code: 0, signal: null });
  });

  it.each(['release', 'suspended', 'exit'])(
    'lets the process exit with a model in a worker thread: %s',
    async (how) => {
      const { folder, remove } = scratch('webgpu');
      try {
        await saveUntrained(folder);
        const program = await buildProgram('test/helpers/webgpu-worker-child.node.ts');
        const { code, signal, stdout, stderr } = await start(program, [folder, how], { env }).finished;
        const wanted = { code: how === 'exit' ? 3 : 0, signal: null, stdout: 'a piece\n' };
        expect({ code, signal, stdout }, stderr).toEqual(wanted);
      } finally {
        remove();
      }
    },
  );

  it('generates on the command line the ids of the CPU', async () => {
    const args = [
      'generate',
      `${reference}llama`,
      '--ids',
      '1,5,9',
      '--max-tokens',
      '6',
      '--greedy',
      '--json',
    ];
    const [gpu, cpu] = await Promise.all([
      ropewalk([...args, '--device', 'webgpu'], { env }),
      ropewalk(args),
    ]);
    expect(gpu.code, gpu.stderr).toBe(0);
    const ids = ({ stdout }: Finished) => (JSON.parse(stdout) as { ids: number[] }).ids;
    expect(ids(gpu)).toEqual(ids(cpu));
  });
});

it.runIf(process.platform === 'linux' && process.arch === 'x64')(
  'without a graphics card, --device webgpu says what to do',
  async () => {
    const nothing = { VK_ICD_FILENAMES: '/nonexistent.json', VK_DRIVER_FILES: '/nonexistent.json' };
    const { code, stderr } = await ropewalk(
      ['generate', `${reference}llama`, '--ids', '1', '--max-tokens', '1', '--device', 'webgpu'],
      { env: nothing },
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /no usable graphics card.* driver .*libvulkan.so.1.* VK_ICD_FILENAMES=.*--device cpu/,
    );
  },
);
