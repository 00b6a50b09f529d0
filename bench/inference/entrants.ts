import { fileURLToPath } from 'node:url';
import type { Quantization } from '../../src/onnx/quantize.ts';
import { quantizedBytes } from '../../src/onnx/weights.ts';
import type { Entrant } from './contender.ts';
import type { ModelFiles } from './model-files.ts';

export type Precision = 'float32' | 'int8' | 'int4';

export interface Rivals {
  readonly threads: number;
  /** The built package's entry, dist/bundle/node.js. */
  readonly package: string;
  /** Folders where they are installed. */
  readonly llama: string | undefined;
  readonly transformers: string | undefined;
  /** Tokens that a context must hold. */
  readonly contextSize: number;
  /** Block sizes of Ropewalk's quantization. */
  readonly blocks: readonly Quantization['block'][];
}

/** Bytes per weight in llama.cpp: blocks of 32 values with a float16 scale. */
const GGUF_TYPES = {
  float32: { type: 'F32', bytes: 4 },
  int8: { type: 'Q8_0', bytes: 34 / 32 },
  int4: { type: 'Q4_0', bytes: 18 / 32 },
} as const;

/** The contenders for a precision; Ropewalk's own variants first. */
export async function entrantsOf(
  files: ModelFiles,
  precision: Precision,
  rivals: Rivals,
): Promise<Entrant[]> {
  const { threads, contextSize } = rivals;
  const { type, bytes } = GGUF_TYPES[precision];
  const gguf = await files.gguf(type);
  const ours = (name: string, model: string, bytesPerWeight: number, options = {}): Entrant => ({
    name,
    script: script('ropewalk'),
    settings: { package: rivals.package, model, options: { threads, ...options } },
    bytesPerWeight,
    cacheNumberBytes: 4,
  });
  const entrants: Entrant[] = [];
  if (precision === 'float32') {
    entrants.push(ours('Ropewalk', await files.directory(), 4));
  } else {
    const bits = precision === 'int8' ? 8 : 4;
    // 8-bit activations, as in node-llama-cpp; the default for a quantized file is exact ones.
    const ownBytes = bytesOf({ bits, block: 32 }, false);
    entrants.push(ours(`Ropewalk, ${type} file, int8 activations`, gguf, ownBytes, { activations: 'int8' }));
    if (!files.isLarge) entrants.push(ours(`Ropewalk, ${type} file, exact activations`, gguf, ownBytes));
    // The finer the source, the closer the weights are to the others'; the finest for the 1B shape is Q8_0.
    const source = await files.finest();
    for (const block of rivals.blocks) {
      const quantize = { bits, block } as const;
      const name = `Ropewalk, --quantize ${precision} --block ${block}`;
      const entrant = ours(name, source, bytesOf(quantize, bits === 4), { quantize });
      entrants.push({ ...entrant, skipColdStart: files.isLarge });
    }
  }
  if (rivals.llama !== undefined) {
    entrants.push({
      name: `node-llama-cpp, ${type}`,
      script: script('node-llama-cpp'),
      settings: { folder: rivals.llama, model: gguf, threads, contextSize },
      bytesPerWeight: bytes,
      cacheNumberBytes: 2,
    });
  }
  if (rivals.transformers !== undefined && precision === 'float32') {
    entrants.push({
      name: 'transformers.js, our ONNX',
      script: script('transformers-js'),
      settings: { folder: rivals.transformers, model: await files.onnx(), threads },
      bytesPerWeight: 4,
      cacheNumberBytes: 4,
    });
  }
  return entrants;
}

/** Bytes per weight in the engine's quantized products. */
function bytesOf({ bits, block }: Quantization, hasZeroPoints: boolean): number {
  const columns = 4096;
  return quantizedBytes({ rows: 1, columns, bits, block, hasZeroPoints }) / columns;
}

export function script(name: string): string {
  // This file is bundled into one next to bench/inference.ts.
  return fileURLToPath(new URL(`./rivals/${name}.mjs`, import.meta.url));
}
