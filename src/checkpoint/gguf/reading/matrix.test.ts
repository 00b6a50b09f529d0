import { describe, expect, it } from 'vitest';
import { Random } from '../../../random.ts';
import { GGML_TYPES } from '../types.ts';
import { LAYOUTS, newUnpackedBlock, type QuantizedGgmlType } from './blocks.ts';
import { toQuantizedMatrix } from './matrix.ts';

/** The repacked matrix block by block, by the layout that `dequantize` reads too. */
function repacked(type: QuantizedGgmlType, bytes: Uint8Array) {
  const { block, bytes: blockBytes } = GGML_TYPES[type];
  const { bits, group, zero, hasOffsets, unpack } = LAYOUTS[type];
  const shift = 2 ** (bits - 1) - zero;
  const out = newUnpackedBlock();
  const [data, scales, offsets]: [number[], number[], number[]] = [[], [], []];
  for (let at = 0; at < bytes.length; at += blockBytes) {
    unpack(bytes, at, out);
    if (bits === 8) for (let i = 0; i < block; i++) data.push(out.codes[i]! + shift);
    else for (let i = 0; i < block; i += 2) data.push(out.codes[i]! | (out.codes[i + 1]! << 4));
    for (let g = 0; g < block / group; g++) {
      scales.push(out.scales[g]!);
      offsets.push(Math.fround(out.offsets[g]! + (bits === 4 ? shift * out.scales[g]! : 0)));
    }
  }
  return { data, scales, ...(hasOffsets && { offsets }) };
}

/** With one NaN: which of them a product gives is the processor's choice. */
const bitsOf = (values: ArrayLike<number>) =>
  Array.from(new Uint32Array(Float32Array.from(values, (x) => (Number.isNaN(x) ? Number.NaN : x)).buffer));

describe('a quantized tensor repacked for the engine', () => {
  it.each(Object.keys(LAYOUTS) as QuantizedGgmlType[])(
    'has the codes and scales of its blocks: %s',
    (type) => {
      const { block, bytes: blockBytes } = GGML_TYPES[type];
      const random = new Random(5);
      // More blocks than are repacked at a time, with every kind of scale: infinite, NaN, subnormal.
      const [rows, columns] = [700, 256];
      const bytes = Uint8Array.from({ length: ((rows * columns) / block) * blockBytes }, () =>
        random.nextInt(256),
      );
      const { matrix } = toQuantizedMatrix(type, bytes, rows, columns);
      const wanted = repacked(type, bytes);
      expect(Buffer.compare(matrix.data, Uint8Array.from(wanted.data))).toBe(0);
      expect(bitsOf(matrix.scales)).toEqual(bitsOf(wanted.scales));
      if (wanted.offsets) expect(bitsOf(matrix.offsets!)).toEqual(bitsOf(wanted.offsets));
      else expect(matrix.offsets).toBeUndefined();
    },
  );

  it.each(Object.keys(LAYOUTS) as QuantizedGgmlType[])('is read from any place in memory: %s', (type) => {
    const { block, bytes: blockBytes } = GGML_TYPES[type];
    const random = new Random(6);
    const all = Uint8Array.from({ length: (512 / block) * blockBytes + 1 }, () => random.nextInt(256));
    const odd = toQuantizedMatrix(type, all.subarray(1), 2, 256).matrix;
    expect(odd).toEqual(toQuantizedMatrix(type, all.slice(1), 2, 256).matrix);
  });
});
