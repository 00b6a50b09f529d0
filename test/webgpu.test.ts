import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildProgram, type Finished, ropewalk, start } from './helpers/cli.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';
import { softwareVulkan } from './helpers/vulkan.node.ts';

/**
 * The same logits on WebGPU as transformers gives (test/reference/README.md), to 1e-3 of the largest; on a graphics card
 * where there is no software for it. Every check runs in a process of its own: a driver may crash.
 */
const BOUND = 1e-3;

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

interface Check {
  readonly case: string;
  readonly check: string;
  readonly error: number;
}

describe.runIf(available)('a model on WebGPU', () => {
  let finished: Finished;
  let checks: Check[];
  beforeAll(async () => {
    finished = await child(cases);
    checks = finished.stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Check);
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

  it('lets its process exit cleanly', () => {
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
