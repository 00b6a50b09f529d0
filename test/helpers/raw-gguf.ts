import { alignUp, GGML_TYPES, type GgmlType, MAGIC } from '../../src/checkpoint/gguf/types.ts';
import { HeaderBytes } from '../../src/checkpoint/gguf/writing/encode.ts';
import type { GgufEntry } from '../../src/checkpoint/gguf/writing/entries.ts';

export interface RawTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: GgmlType;
  readonly bytes: Uint8Array;
}

/** A GGUF file of version 3 with tensors of any type, their bytes as given; nothing is checked. */
export function rawGguf(metadata: readonly GgufEntry[], tensors: readonly RawTensor[]): Uint8Array {
  const header = new HeaderBytes();
  header.u32(MAGIC);
  header.u32(3);
  header.u64(tensors.length);
  header.u64(metadata.length);
  for (const [key, type, value] of metadata) {
    header.string(key);
    header.value(key, type, value);
  }
  let offset = 0;
  const places = tensors.map(({ name, shape, type, bytes }) => {
    header.string(name);
    header.u32(shape.length);
    for (const size of shape.toReversed()) header.u64(size);
    header.u32(GGML_TYPES[type].id);
    header.u64(offset);
    const place = offset;
    offset = alignUp(offset + bytes.byteLength, 32);
    return place;
  });
  header.zeros(alignUp(header.size, 32) - header.size);
  const file = new Uint8Array(header.size + offset);
  file.set(header.bytes());
  tensors.forEach(({ bytes }, i) => {
    file.set(bytes, header.size + places[i]!);
  });
  return file;
}

/** Where the float16 scales of a block lie. */
const SCALES: Readonly<Record<string, readonly number[]>> = {
  ...{ Q8_0: [0], Q4_0: [0], Q4_1: [0, 2], Q5_0: [0], Q5_1: [0, 2] },
  ...{ Q4_K: [0, 2], Q5_K: [0, 2], Q6_K: [208] },
};

/** Random blocks whose scales are `scale`, a float16 code, give or take a factor of two. */
export function randomBlocks(
  type: GgmlType,
  count: number,
  random: () => number,
  scale = 0x1400,
): Uint8Array {
  const { block, bytes } = GGML_TYPES[type];
  const data = Uint8Array.from({ length: (count / block) * bytes }, () => Math.floor(random() * 256));
  for (let at = 0; at < data.length; at += bytes) {
    for (const [i, place] of SCALES[type]!.entries()) {
      // The second one is the offset: below zero, so that the numbers lie about it.
      const code = scale + Math.floor(random() * 0x400) + (i > 0 && !type.endsWith('K') ? 0x8c00 : 0);
      data[at + place] = code & 0xff;
      data[at + place + 1] = code >>> 8;
    }
  }
  return data;
}
