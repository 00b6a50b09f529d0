import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { type OpenedModel, openModel } from '../src/checkpoint/load.node.ts';
import { quantizedProducts } from '../src/checkpoint/weight-sources.node.ts';
import { RopewalkError } from '../src/errors.ts';
import { exportQuantized } from '../src/export/quantized.node.ts';
import { createDecoder, type DecoderOptions } from '../src/generation/decoder.node.ts';
import type { Decoder } from '../src/generation/decoder.ts';
import type { Quantization } from '../src/onnx/quantize.ts';
import type { QuantizedMatrix } from '../src/onnx/weights.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { dequantizedDecoder } from './helpers/dequantized.node.ts';
import { int8Logits } from './helpers/int8-activations.ts';
import { relativeError } from './helpers/numbers.ts';

const reference = fileURLToPath(new URL('./reference/', import.meta.url));
const cases = readdirSync(reference).filter((name) => existsSync(`${reference}${name}/expected.safetensors`));
const folder = mkdtempSync(join(tmpdir(), 'ropewalk-quantized-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const engine = nodeEngine({ threads: 1 });
const FORMS: Quantization[] = [
  { bits: 8, block: 32 },
  { bits: 4, block: 32 },
  { bits: 4, block: 64 },
];

async function withModel<T>(path: string, use: (opened: OpenedModel) => Promise<T>): Promise<T> {
  const opened = await openModel(path);
  try {
    return await use(opened);
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

function idsFor({ config }: OpenedModel): number[] {
  return Array.from({ length: 20 }, (_, i) => (i * 7 + 3) % config.vocab_size);
}

/** Logits of 20 tokens through the cache, three at a time. */
async function logitsOf(decoder: Decoder, ids: readonly number[]): Promise<Float32Array> {
  const cache = decoder.newCache();
  const parts: number[] = [];
  for (let at = 0; at < ids.length; at += 3) {
    parts.push(...(await decoder.forward(ids.slice(at, at + 3), cache, 'all')));
  }
  await decoder.release();
  return Float32Array.from(parts);
}

async function quantizedLogits(path: string, options: DecoderOptions): Promise<Float32Array> {
  return withModel(path, async (opened) => {
    const decoder = await createDecoder(opened, { ...options, engine });
    return logitsOf(decoder, idsFor(opened));
  });
}

/** The same model in float32, with the numbers that its weights have in few bits. */
async function dequantizedLogits(path: string, quantize: Quantization): Promise<Float32Array> {
  return withModel(path, async (opened) =>
    logitsOf(await dequantizedDecoder(engine, opened, quantize), idsFor(opened)),
  );
}

/** Of each model and form, with 8-bit activations. */
const errors: number[] = [];

describe.each(cases)('a %s with quantized weights', (name) => {
  const path = `${reference}${name}`;

  it.each(FORMS)(
    'gives the logits of its dequantized weights: $bits bits, blocks of $block',
    async (quantize) => {
      const expected = await dequantizedLogits(path, quantize);
      const exact = await quantizedLogits(path, { quantize, activations: 'exact' });
      expect(relativeError(exact, expected)).toBeLessThan(1e-3);
      // Rounded likewise, they are the same to the last digits. Where the last digit of a sum makes an activation round to
      // another step, and those that follow from it, they differ by a percent or two.
      const rounded = await withModel(path, (opened) => int8Logits(opened, quantize, idsFor(opened)));
      const error = relativeError(await quantizedLogits(path, { quantize }), rounded);
      errors.push(error);
      expect(error).toBeLessThan(3e-2);
    },
  );

  it('is saved in quantized form, and loads unchanged', async () => {
    const quantize = { bits: 4, block: 32 } as const;
    const out = join(folder, name);
    const result = await withModel(path, (opened) => exportQuantized(opened, out, { quantize }));
    expect(result.files.map((file) => file.name)).toContain('model.safetensors');
    const direct = await quantizedLogits(path, { quantize, activations: 'int8' });
    // The embedding of a tied head is now looked up in few bits too, so the logits are near, not equal.
    const loaded = await quantizedLogits(out, { activations: 'int8' });
    expect(loaded.every(Number.isFinite)).toBe(true);
    expect(loaded.length).toBe(direct.length);
    await withModel(out, async (opened) => {
      const products = await withModel(path, async (original) => {
        const all = quantizedProducts(original, quantize);
        return Promise.all([...all].map(async ([at, source]) => [at, await source.read()] as const));
      });
      for (const [at, matrix] of products) {
        expect(await opened.checkpoint.tensors.quantizedForm!(at)!.read()).toEqual(matrix);
      }
    });
  });
});

it('models with 8-bit activations hardly ever differ from float64 by more than sums in float32 do', () => {
  expect(errors.length).toBe(cases.length * FORMS.length);
  expect(errors.filter((error) => error > 5e-6).length).toBeLessThanOrEqual(0.05 * errors.length);
});

it.each(['llama', 'gpt2'])(
  'a %s whose blocks have the scales or zero points of their neighbors is thousands of times farther off',
  async (name) => {
    const path = `${reference}${name}`;
    const quantize = { bits: 4, block: 32 } as const;
    const actual = await quantizedLogits(path, { quantize });
    const first = <T extends Float32Array | Uint8Array>(values: T) => values.fill(values[0]!, 0, 2);
    for (const change of [
      ({ scales }: QuantizedMatrix) => first(scales),
      ({ zeroPoints }: QuantizedMatrix) => first(zeroPoints!),
    ]) {
      const wrong = await withModel(path, (opened) =>
        int8Logits(opened, quantize, idsFor(opened), (at, matrix) => {
          if (/layers\.0\.self_attn\.q_proj|h\.0\.attn\.c_attn/.test(at)) change(matrix);
        }),
      );
      expect(relativeError(actual, wrong)).toBeGreaterThan(1e-2);
    }
  },
);

describe('a saved quantized model', () => {
  const out = join(folder, 'damaged');
  const save = () =>
    withModel(`${reference}llama`, (opened) =>
      exportQuantized(opened, out, { quantize: { bits: 8, block: 32 } }),
    );

  it('looks up embedding rows with the same numbers as the whole matrix', async () => {
    await save();
    await withModel(out, async ({ checkpoint }) => {
      const name = 'model.embed_tokens.weight';
      const all = await checkpoint.tensors.readFloat32(name);
      const rows = await checkpoint.tensors.openRows(name);
      const row = new Float32Array(rows.width);
      for (let i = 0; i < rows.rows; i++) {
        rows.read(i, row, 0);
        expect(row).toEqual(all.slice(i * rows.width, (i + 1) * rows.width));
      }
      rows.close();
    });
  });

  it('with damaged metadata is refused', async () => {
    await save();
    const file = join(out, 'model.safetensors');
    const whole = readFileSync(file);
    const text = whole.toString('latin1');
    const damage = async (from: string, to: string) => {
      expect(from.length).toBe(to.length);
      expect(text).toContain(from);
      writeFileSync(file, Buffer.from(text.replace(from, to), 'latin1'));
      return withModel(out, async () => 'opened').catch((error: Error) => error.message);
    };
    const columns = /\\"columns\\":(\d+)/.exec(text)![1]!;
    expect(await damage(`\\"columns\\":${columns}`, `\\"columns\\":${'9'.repeat(columns.length)}`)).toMatch(
      /take \d+ bytes; quantize the model again/,
    );
    expect(await damage('\\"bits\\":8', '\\"bits\\":7')).toMatch(/ropewalk\.quantized" is wrong at/);
    expect(await damage('{\\"model.', '[\\"model.')).toMatch(/is not JSON/);
  });

  it('with damage anywhere, 3,000 times, is refused or sound', async () => {
    await save();
    const file = join(out, 'model.safetensors');
    const whole = readFileSync(file);
    const header = 8 + Number(whole.readBigUInt64LE(0));
    const random = new Random(5);
    let refused = 0;
    for (let i = 0; i < 3000; i++) {
      const bytes = Buffer.from(whole);
      for (let k = 0; k <= random.nextInt(2); k++) {
        const at = 8 + random.nextInt(header - 8);
        bytes[at] = random.nextInt(2) === 0 ? 0x30 + random.nextInt(10) : random.nextInt(256);
      }
      writeFileSync(file, bytes);
      try {
        await withModel(out, async ({ checkpoint, names }) => {
          for (const name of names.values()) await checkpoint.tensors.readFloat32(name);
        });
      } catch (error) {
        if (!(error instanceof RopewalkError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
    expect(refused).toBeLessThan(3000);
  });
});
