import { fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { type GraphProto, ModelProtoSchema } from 'onnx-buf';
import { describe, expect, it } from 'vitest';
import { families, familyByName } from '../families/registry.ts';
import { memorySink } from '../files/source.ts';
import { writeWeightData } from './external-data.ts';
import { onnxModel, type PlacedWeight } from './onnx.ts';

const names = families.map(({ name }) => name);

function tiny(name: string) {
  const family = familyByName(name)!;
  return family.build(family.presets.tiny!.config);
}

function shapesOf(values: GraphProto['input']): Record<string, (string | number)[]> {
  const shapes = values.map(({ name, type }): [string, (string | number)[]] => {
    const tensor = type!.value.case === 'tensorType' ? type!.value.value : undefined;
    const dims = tensor?.shape?.dim.map(({ value }) =>
      value.case === 'dimParam' ? value.value : Number(value.value),
    );
    return [name, dims ?? []];
  });
  return Object.fromEntries(shapes);
}

describe.each(names)('the ONNX export of %s', (name) => {
  const model = tiny(name);
  const { bytes, weights, dataBytes } = onnxModel(model, { dataFile: 'weights.bin' });
  const proto = fromBinary(ModelProtoSchema, bytes);
  const graph = proto.graph!;

  it('uses only ai.onnx operators, in an opset that has them', () => {
    expect(new Set(graph.node.map(({ domain }) => domain))).toEqual(new Set(['']));
    const hasGelu = graph.node.some(({ opType }) => opType === 'Gelu');
    expect(proto.opsetImport.map(({ domain, version }) => [domain, Number(version)])).toEqual([
      ['', hasGelu ? 20 : 18],
    ]);
    expect(Number(proto.irVersion)).toBe(hasGelu ? 9 : 8);
  });

  it('has inputs and outputs with the names, layouts and axes of Hugging Face', () => {
    const inputs = shapesOf(graph.input);
    const outputs = shapesOf(graph.output);
    const total = 'past_sequence_length+sequence_length';
    expect(inputs.input_ids).toEqual(['batch_size', 'sequence_length']);
    expect(inputs.position_ids).toEqual(['batch_size', 'sequence_length']);
    expect(inputs.attention_mask).toEqual(['batch_size', total]);
    expect(outputs.logits).toEqual(['batch_size', 'sequence_length', model.config.vocab_size]);
    const caches = Object.entries(inputs).filter(([input]) => input.startsWith('past_key_values.'));
    expect(caches.length).toBeGreaterThan(0);
    for (const [input, [batch, kv, past, headDim]] of caches) {
      expect([batch, past]).toEqual(['batch_size', 'past_sequence_length']);
      expect(outputs[input.replace('past_key_values', 'present')]).toEqual([batch, kv, total, headDim]);
    }
    expect(Object.keys(inputs)).toHaveLength(3 + caches.length);
    expect(Object.keys(outputs)).toHaveLength(1 + caches.length);
  });

  it('stores every weight once, outside the graph, without overlap', () => {
    const stored = new Map(weights.map((weight) => [weight.name, weight]));
    for (const [path, { size }] of model.parameters()) {
      expect(stored.get(path)?.shape.reduce((product, dim) => product * dim, 1)).toBe(size);
    }
    let end = 0;
    for (const { offset, byteLength } of weights) {
      expect(offset).toBeGreaterThanOrEqual(end);
      expect(offset % (byteLength >= 4096 ? 4096 : 64)).toBe(0);
      end = offset + byteLength;
    }
    expect(dataBytes).toBe(end);
    for (const tensor of graph.initializer) {
      if (stored.has(tensor.name)) expect(tensor.externalData[0]).toMatchObject({ value: 'weights.bin' });
      else expect(tensor.rawData.byteLength).toBeLessThanOrEqual(4096);
    }
    expect(bytes.byteLength).toBeLessThan(200_000);
  });

  it('transposes no weight at run time', () => {
    const names = new Set(weights.map((weight) => weight.name));
    const turned = graph.node.filter(({ opType, input }) => opType === 'Transpose' && names.has(input[0]!));
    expect(turned).toEqual([]);
  });
});

describe('the data file of an ONNX export', () => {
  it('holds matrices transposed where they are stored so, at their offsets, with zeros between', async () => {
    const sides = fc.integer({ min: 1, max: 40 });
    await fc.assert(
      fc.asyncProperty(sides, sides, fc.integer({ min: 0, max: 70 }), async (out, inner, gap) => {
        const values = Float32Array.from({ length: out * inner }, (_, i) => i + 1);
        const weight: PlacedWeight = {
          name: 'w',
          shape: [inner, out],
          transposed: true,
          dtype: 'float32',
          offset: 4 * gap,
          byteLength: 4 * out * inner,
        };
        const sink = memorySink();
        await writeWeightData(sink, [weight], async () => values);
        const written = new Float32Array(sink.bytes().buffer);
        expect([...written.subarray(0, gap)]).toEqual(new Array(gap).fill(0));
        const expected = Array.from({ length: out * inner }, (_, i) => {
          const [row, column] = [Math.floor(i / out), i % out];
          return values[column * inner + row]!;
        });
        expect([...written.subarray(gap)]).toEqual(expected);
      }),
    );
  });

  it('is written in pieces when a matrix is large', async () => {
    const [out, inner] = [1500, 1400]; // more than a piece of 2²⁰ numbers
    const values = Float32Array.from({ length: out * inner }, (_, i) => i);
    const weight: PlacedWeight = {
      name: 'w',
      shape: [inner, out],
      transposed: true,
      dtype: 'float32',
      offset: 0,
      byteLength: 4 * out * inner,
    };
    const sink = memorySink();
    await writeWeightData(sink, [weight], async () => values);
    const written = new Float32Array(sink.bytes().buffer);
    let wrong = 0;
    for (let row = 0; row < inner; row++) {
      for (let column = 0; column < out; column++) {
        if (written[row * out + column] !== values[column * inner + row]) wrong++;
      }
    }
    expect(wrong).toBe(0);
  });
});
