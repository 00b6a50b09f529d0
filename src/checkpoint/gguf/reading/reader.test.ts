import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fixture } from '../../../../test/helpers/fixtures.node.ts';
import { cpuSecondsAsync } from '../../../../test/helpers/work.node.ts';
import { RopewalkError } from '../../../errors.ts';
import { FileSource } from '../../../files/file.node.ts';
import { type ByteSource, memorySource } from '../../../files/source.ts';
import type { GgufValue, GgufValueType } from '../types.ts';
import { HeaderBytes } from '../writing/encode.ts';
import { dequantize } from './dequantize.ts';
import { type GgufFile, type GgufTensor, openGguf, openGgufSplit, splitNames } from './reader.ts';

const reference = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../../../test/reference/gguf/${name}`, import.meta.url)));

async function numbers({ type, shape, source, offset, byteLength }: GgufTensor): Promise<number[]> {
  const target = new Float32Array(shape.reduce((a, b) => a * b, 1));
  dequantize(type, await source.read(offset, byteLength), target);
  return [...target];
}

interface Info {
  name?: string;
  dims?: readonly number[];
  type?: number;
  offset?: number;
}

interface Parts {
  magic?: number;
  version?: number;
  tensorCount?: number;
  entryCount?: number;
  metadata?: readonly (readonly [string, GgufValueType, GgufValue])[];
  /** Written after the metadata, counted as one entry more: for what no writer writes. */
  raw?: (header: HeaderBytes) => void;
  tensors?: readonly Info[];
  alignment?: number;
  data?: number;
}

/** A file put together by hand, right or wrong. */
function build({
  magic = 0x46554747,
  version = 3,
  metadata = [],
  raw,
  tensors = [],
  tensorCount = tensors.length,
  entryCount = metadata.length + (raw ? 1 : 0),
  alignment = 32,
  data = 0,
}: Parts): Uint8Array {
  const header = new HeaderBytes();
  header.u32(magic);
  header.u32(version);
  header.u64(tensorCount);
  header.u64(entryCount);
  for (const [key, type, value] of metadata) {
    header.string(key);
    header.value(key, type, value);
  }
  raw?.(header);
  for (const { name = 't', dims = [4], type = 0, offset = 0 } of tensors) {
    header.string(name);
    header.u32(dims.length);
    for (const size of dims) header.u64(size);
    header.u32(type);
    header.u64(offset);
  }
  header.zeros((alignment - (header.size % alignment)) % alignment);
  header.zeros(data);
  return header.bytes().slice();
}

const open = (parts: Parts) => openGguf(memorySource(build(parts), 'x.gguf'));
const key = (name: string, type: number) => (header: HeaderBytes) => {
  header.string(name);
  header.u32(type);
};

describe("reading a file that llama.cpp's Python package gguf wrote", () => {
  const says = JSON.parse(new TextDecoder().decode(reference('python.json'))) as {
    metadata: Record<string, { type: string; value: unknown }>;
    tensors: Record<string, { type: string; shape: number[]; values: number[] }>;
  };

  test('gives its metadata, of every type', async () => {
    const file = await openGguf(memorySource(reference('python.gguf')));
    expect(file.version).toBe(3);
    expect(file.metadata.get('general.architecture')).toBe('llama');
    expect(file.metadata.get('general.alignment')).toBe(64);
    const plain = (value: unknown): unknown => {
      if (typeof value === 'bigint') return String(value);
      if (typeof value !== 'object' || value === null) return value;
      return Array.from(value as ArrayLike<unknown>, plain);
    };
    for (const [name, { value }] of Object.entries(says.metadata)) {
      expect(plain(file.metadata.get(name)), name).toEqual(value);
    }
    expect(file.metadata.get('a.ints')).toBeInstanceOf(Int32Array);
    expect(file.metadata.get('a.floats')).toBeInstanceOf(Float32Array);
    expect(file.metadata.get('a.u64.large')).toBe(2n ** 64n - 1n);
    expect(file.metadata.size).toBe(Object.keys(says.metadata).length + 2);
  });

  test('gives its tensors, at the alignment that it names', async () => {
    const file = await openGguf(memorySource(reference('python.gguf')));
    expect([...file.tensors.keys()]).toEqual(Object.keys(says.tensors));
    for (const [name, { type, shape, values }] of Object.entries(says.tensors)) {
      const tensor = file.tensors.get(name)!;
      expect(tensor.type).toBe(type);
      expect(tensor.shape).toEqual(shape);
      expect(tensor.offset % 64).toBe(0);
      expect(await numbers(tensor), name).toEqual(values);
    }
  });

  test('refuses it when it is cut short anywhere except in the padding after the last tensor', async () => {
    const bytes = reference('python.gguf');
    const last = [...(await openGguf(memorySource(bytes))).tensors.values()].at(-1)!;
    for (let size = 0; size < last.offset + last.byteLength; size++) {
      await expect(openGguf(memorySource(bytes.subarray(0, size)))).rejects.toThrow(RopewalkError);
    }
  });
});

describe('the GGUF reader refuses, naming the problem and the remedy,', () => {
  const u32 = ['general.alignment', 'u32'] as const;
  test.each<[string, Parts, RegExp]>([
    ['other files', { magic: 1 }, /x\.gguf: it does not start with 'GGUF'.*name a \.gguf file/],
    ['version 1', { version: 1 }, /version 1 is not supported; convert/],
    ['a future version', { version: 4 }, /version 4 is not supported/],
    ['big-endian files', { version: 0x03000000 }, /big-endian .* convert it to little-endian/],
    ['more entries than fit', { entryCount: 2 ** 50 }, /entries and 0 tensors do not fit/],
    ['more tensors than fit', { tensorCount: 2 ** 50 }, /tensors do not fit/],
    [
      'a key twice',
      {
        metadata: [
          ['a', 'u8', 1],
          ['a', 'u8', 2],
        ],
      },
      /metadata "a": the key appears twice/,
    ],
    ['an unknown value type', { raw: key('k', 13), data: 32 }, /metadata "k": value type 13 is unknown/],
    ['an alignment of 48', { metadata: [[...u32, 48]] }, /"general\.alignment": it must be a power of two/],
    ['an alignment of 0', { metadata: [[...u32, 0]] }, /must be a power of two/],
    ['an alignment of another type', { metadata: [['general.alignment', 'u64', 32]] }, /of type u32/],
    ['a tensor twice', { tensors: [{}, {}], data: 32 }, /tensor "t": there are two tensors of this name/],
    ['five dimensions', { tensors: [{ dims: [1, 1, 1, 1, 1] }], data: 32 }, /5 dimensions, more than 4/],
    [
      'a type that is not read',
      { tensors: [{ type: 10, dims: [256] }], data: 96 },
      /tensor "t": type 10 \(Q2_K\) is not one of F32.*; use another variant/,
    ],
    ['an unknown type', { tensors: [{ type: 99 }], data: 32 }, /type 99 \(unknown\) is not one of/],
    [
      'broken blocks',
      { tensors: [{ type: 8, dims: [16, 2] }], data: 64 },
      /rows of 16 are not a multiple of the block size 32 of Q8_0/,
    ],
    ['too many elements', { tensors: [{ dims: [2 ** 40, 2 ** 40] }], data: 64 }, /too many elements/],
    [
      'elements that wrap around to zero',
      { tensors: [{ dims: [2 ** 32, 2 ** 32, 1] }] },
      /too many elements/,
    ],
    ['a huge size beside a size of 0', { tensors: [{ dims: [2 ** 60, 0] }] }, /too many elements/],
    ['an empty tensor past the end', { tensors: [{ dims: [0], offset: 32 }] }, /lie outside the file/],
    [
      'a tensor past the end',
      { tensors: [{ dims: [9] }], data: 32 },
      /tensor "t": its bytes 64 to 100 lie outside the file, which has 96/,
    ],
    ['an offset past the end', { tensors: [{ offset: 2 ** 60 }], data: 32 }, /lie outside the file/],
    [
      'an offset off the alignment',
      { tensors: [{ offset: 16 }], data: 32 },
      /offset 16 is not a multiple of .* 32/,
    ],
    [
      'tensors that overlap',
      { tensors: [{ dims: [16] }, { name: 'u', offset: 32 }], data: 64 },
      /tensor "u": its bytes overlap those of "t"/,
    ],
    [
      'a part alone',
      { metadata: [['split.count', 'u16', 3]] },
      /one of the 3 parts of a split model; open all/,
    ],
  ])('a file with this fault: %s', async (_, parts, message) => {
    await expect(open(parts)).rejects.toThrow(message);
    await expect(open(parts)).rejects.toThrow(RopewalkError);
  });

  test('strings and arrays that reach past the end, text that is not UTF-8, and numbers that are not booleans', async () => {
    const long = (header: HeaderBytes) => {
      key('k', 8)(header);
      header.u64(2 ** 40);
    };
    await expect(open({ raw: long, data: 64 })).rejects.toThrow(/"k": a string of 1099511627776 bytes/);
    const wide = (header: HeaderBytes) => {
      key('k', 9)(header);
      header.u32(4);
      header.u64(2 ** 62);
    };
    await expect(open({ raw: wide, data: 64 })).rejects.toThrow(/"k": an array of \d+ values does not fit/);
    const deep = (header: HeaderBytes) => {
      key('k', 9)(header);
      for (let i = 0; i < 100; i++) {
        header.u32(9);
        header.u64(1);
      }
    };
    await expect(open({ raw: deep, data: 64 })).rejects.toThrow(/"k": arrays are nested more than 4 deep/);
    const flag = (header: HeaderBytes) => {
      key('k', 7)(header);
      header.u32(2);
    };
    await expect(open({ raw: flag, data: 64 })).rejects.toThrow(/"k": 2 is not a boolean/);
    const noText = (header: HeaderBytes) => {
      key('k', 8)(header);
      header.u64(4);
      header.u32(0xffffffff);
    };
    await expect(open({ raw: noText, data: 64 })).rejects.toThrow(/"k": a string is not UTF-8 text/);
  });

  test('impossible sizes, without reading the data they claim', async () => {
    const asked: number[] = [];
    const huge = (parts: Parts): ByteSource => {
      const bytes = build(parts);
      return {
        name: 'huge.gguf',
        size: 2 ** 42,
        async read(offset, length) {
          asked.push(length);
          const target = new Uint8Array(length);
          target.set(bytes.subarray(offset, offset + length).subarray(0, length));
          return target;
        },
      };
    };
    const claim = (type: number, length: number) => (header: HeaderBytes) => {
      key('k', 9)(header);
      header.u32(type);
      header.u64(length);
    };
    const text = (header: HeaderBytes) => {
      key('k', 8)(header);
      header.u64(2 ** 33);
    };
    await expect(openGguf(huge({ raw: text }))).rejects.toThrow(/is longer than/);
    await expect(openGguf(huge({ raw: claim(12, 2 ** 36) }))).rejects.toThrow(
      /exceeds the longest supported header/,
    );
    await expect(openGguf(huge({ raw: claim(9, 2 ** 36) }))).rejects.toThrow(RopewalkError);
    expect(asked.reduce((a, b) => a + b)).toBeLessThan(1 << 21);
  });
});

test('the GGUF reader accepts version 2, empty tensors, scalars, gaps, and tensors in any order', async () => {
  const tensors = [
    { name: 'late', dims: [2, 3], offset: 64 },
    { name: 'early', dims: [], offset: 0 },
    { name: 'none', dims: [0], offset: 0 },
  ];
  const file = await open({ version: 2, tensors, data: 128 });
  expect(file.version).toBe(2);
  expect([...file.tensors.values()].map(({ shape, byteLength }) => [shape, byteLength])).toEqual([
    [[3, 2], 24],
    [[], 4],
    [[0], 0],
  ]);
});

describe('opening a split GGUF model', () => {
  const part = (index: number, { count = 3, tensors = 3, name = `t${index}` } = {}) => {
    const metadata = [
      ['split.no', 'u16', index],
      ['split.count', 'u16', count],
      ['split.tensors.count', 'i32', tensors],
      ...(index === 0 ? [['general.name', 'string', 'whole'] as const] : []),
    ] as const;
    return memorySource(build({ metadata, tensors: [{ name }], data: 32 }), `m${index}.gguf`);
  };

  test('joins its parts in whatever order they come, with the metadata of the first', async () => {
    const file = await openGgufSplit([part(1), part(2), part(0)]);
    expect(file.name).toBe('m0.gguf');
    expect(file.metadata.get('general.name')).toBe('whole');
    expect([...file.tensors].map(([name, { source }]) => [name, source.name])).toEqual([
      ['t0', 'm0.gguf'],
      ['t1', 'm1.gguf'],
      ['t2', 'm2.gguf'],
    ]);
  });

  test.each<[string, ByteSource[], RegExp]>([
    ['no part', [], /no part/],
    [
      'a part that is missing',
      [part(0), part(1)],
      /m0\.gguf: split\.count is 3 but 2 parts are given; give all/,
    ],
    ['a part twice', [part(0), part(1), part(1)], /m1\.gguf: it is part 2, and so is m1\.gguf/],
    ['a part of another model', [part(0), part(1), part(2, { count: 4 })], /m2\.gguf: split\.count is 4/],
    [
      'tensors that are missing',
      [0, 1, 2].map((i) => part(i, { tensors: 4 })),
      /split\.tensors\.count is 4 but 3/,
    ],
    ['a number out of range', [part(0), part(1), part(7)], /m7\.gguf: split\.no is 7, not .* from 0 to 2/],
    [
      'a tensor in two parts',
      [part(0), part(1), part(2, { name: 't0' })],
      /m2\.gguf: tensor "t0" is also in m0\.gguf/,
    ],
    ['files that are no parts', [0, 1].map(() => memorySource(build({}))), /split\.count is missing/],
  ])('refuses %s', async (_, sources, message) => {
    await expect(openGgufSplit(sources)).rejects.toThrow(message);
    await expect(openGgufSplit(sources)).rejects.toThrow(RopewalkError);
  });

  test('takes a single file as a model of one part, and closes every part', async () => {
    const closed: string[] = [];
    const closing = (source: ByteSource): ByteSource => ({
      ...source,
      close: async () => {
        closed.push(source.name);
      },
    });
    await (await openGgufSplit([closing(memorySource(build({}), 'one'))])).close();
    await (await openGgufSplit([part(0), part(1), part(2)].map(closing))).close();
    expect(closed).toEqual(['one', 'm0.gguf', 'm1.gguf', 'm2.gguf']);
  });

  test('recognizes parts by their names', () => {
    expect(splitNames('a/b-Q4_K_M-00002-of-00003.gguf')).toEqual([
      'a/b-Q4_K_M-00001-of-00003.gguf',
      'a/b-Q4_K_M-00002-of-00003.gguf',
      'a/b-Q4_K_M-00003-of-00003.gguf',
    ]);
    for (const name of ['a.gguf', 'a-1-of-3.gguf', 'a-00004-of-00003.gguf', 'a-00000-of-00003.gguf']) {
      expect(splitNames(name)).toBeUndefined();
    }
  });
});

describe('reading a large vocabulary', () => {
  test("reads GPT-2's to its last token and merge", async () => {
    const file = await openGguf(await FileSource.open(fixture('ggml-vocab-gpt-2.gguf')));
    expect(file.metadata.get('tokenizer.ggml.tokens')).toHaveLength(50257);
    expect(file.metadata.get('tokenizer.ggml.merges')).toHaveLength(50000);
    expect((file.metadata.get('tokenizer.ggml.tokens') as string[]).slice(-2)).toEqual([
      'Ġgazed',
      '<|endoftext|>',
    ]);
    await file.close();
  });

  test('reads 256k strings across chunks in less than two seconds of processor time', async () => {
    const tokens = Array.from({ length: 1 << 18 }, (_, i) => (i % 5 === 0 ? `▁한글${i}` : `token${i}`));
    const source = memorySource(build({ metadata: [['tokens', { array: 'string' }, tokens]] }));
    let file!: GgufFile;
    const seconds = await cpuSecondsAsync(async () => {
      file = await openGguf(source);
    });
    expect(seconds).toBeLessThan(2);
    expect(file.metadata.get('tokens')).toEqual(tokens);
  });
});
