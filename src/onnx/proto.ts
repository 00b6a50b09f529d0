import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import type { DType, TensorType } from '../graph/tensor.ts';

/** The only module that knows the protobuf library: all others deal with nodes, tensors and values. */

/** onnx.TensorProto.DataType */
export const elementTypes = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
} as const;

export type AttributeValue = number | string | readonly number[] | { readonly float: number };

const OPSET = 23;
const IR_VERSION = 11;

function attribute(name: string, value: AttributeValue) {
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.STRING,
      s: bytes(new TextEncoder().encode(value)),
    });
  }
  if (typeof value === 'number') {
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  }
  if ('float' in value)
    return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
}

export function nodeProto(
  type: string,
  domain: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Record<string, AttributeValue>,
): NodeProto {
  return create(NodeProtoSchema, {
    name: outputs[0] ?? '',
    opType: type,
    domain,
    input: [...inputs],
    output: [...outputs],
    attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
  });
}

export function valueInfo(name: string, { dtype, shape }: TensorType): ValueInfoProto {
  const dim = shape.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value:
        typeof size === 'number'
          ? { case: 'dimValue', value: BigInt(size) }
          : { case: 'dimParam', value: String(size) },
    }),
  );
  const tensorType = create(TypeProto_TensorSchema, {
    elemType: elementTypes[dtype],
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value: tensorType } }),
  });
}

function bytes(data: Uint8Array): Uint8Array<ArrayBuffer> {
  return data.buffer instanceof ArrayBuffer ? (data as Uint8Array<ArrayBuffer>) : new Uint8Array(data);
}

/** A tensor whose little-endian bytes are inside the model. */
export function inlineTensor(
  name: string,
  type: keyof typeof elementTypes,
  shape: readonly number[],
  data: ArrayBufferView,
): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType: elementTypes[type],
    dims: shape.map(BigInt),
    rawData: bytes(new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)),
  });
}

export function smallTensor(name: string, dtype: DType, shape: readonly number[], data: ArrayLike<number>) {
  const values =
    dtype === 'float32'
      ? Float32Array.from(data)
      : dtype === 'int32'
        ? Int32Array.from(data)
        : BigInt64Array.from(Array.from(data, BigInt));
  return inlineTensor(name, dtype, shape, values);
}

/** A tensor whose bytes are in another file at an offset: `location` is a plain file name next to the model. */
export function externalTensor(
  name: string,
  type: keyof typeof elementTypes,
  shape: readonly number[],
  file: { location: string; offset: number; byteLength: number },
): TensorProto {
  const entries = { location: file.location, offset: String(file.offset), length: String(file.byteLength) };
  return create(TensorProtoSchema, {
    name,
    dataType: elementTypes[type],
    dims: shape.map(BigInt),
    dataLocation: DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    ),
  });
}

/**
 * Where the values of an initializer are: `location`, `offset` and `length`, and `prepacked_…` for each form into which the
 * engine has packed them (ONNX Runtime's own addition).
 */
export type StoredTensor = readonly (readonly [key: string, value: string])[];

/** The initializers of a model whose values are in files, by name. */
export function tensorsInFiles(model: Uint8Array): Map<string, StoredTensor> {
  const { graph } = fromBinary(ModelProtoSchema, model);
  const outside = (graph?.initializer ?? []).filter(
    ({ dataLocation }) => dataLocation === DataLocation.EXTERNAL,
  );
  return new Map(
    outside.map(({ name, externalData }) => [name, externalData.map(({ key, value }) => [key, value])]),
  );
}

/** A model whose initializers in files are in other places, or in the model itself. */
export function withTensorsInFiles(
  model: Uint8Array,
  places: ReadonlyMap<string, StoredTensor | Uint8Array>,
): Uint8Array {
  const proto = fromBinary(ModelProtoSchema, model);
  for (const tensor of proto.graph?.initializer ?? []) {
    const place = tensor.dataLocation === DataLocation.EXTERNAL ? places.get(tensor.name) : undefined;
    if (place instanceof Uint8Array) {
      tensor.dataLocation = DataLocation.DEFAULT;
      tensor.externalData = [];
      tensor.rawData = place.slice();
    } else if (place) {
      tensor.externalData = place.map(([key, value]) => create(StringStringEntryProtoSchema, { key, value }));
    }
  }
  return toBinary(ModelProtoSchema, proto);
}

export function encodeModel(graph: {
  nodes: NodeProto[];
  inputs: ValueInfoProto[];
  outputs: ValueInfoProto[];
  initializers: TensorProto[];
}): Uint8Array {
  const domains = new Set(graph.nodes.map((node) => node.domain));
  domains.add('');
  const model = create(ModelProtoSchema, {
    irVersion: BigInt(IR_VERSION),
    producerName: 'ropewalk',
    opsetImport: [...domains].map((domain) =>
      create(OperatorSetIdProtoSchema, { domain, version: BigInt(domain === '' ? OPSET : 1) }),
    ),
    graph: create(GraphProtoSchema, {
      name: 'ropewalk',
      node: graph.nodes,
      input: graph.inputs,
      output: graph.outputs,
      initializer: graph.initializers,
    }),
  });
  return toBinary(ModelProtoSchema, model);
}

/** Operators newer than {@link OLDEST_OPSET}, with the ai.onnx opset that introduced them. */
const SINCE: Readonly<Record<string, number>> = { Gelu: 20, RotaryEmbedding: 23 };
/** From this opset on, sums and means take their axes as an input, as we write them. ONNX 1.13, 2022. */
const OLDEST_OPSET = 18;
/** The IR version of each opset's release. */
const IR_OF_OPSET: Readonly<Record<number, number>> = { 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11 };

/** The same model declared with the oldest opset that has all its operators: more runtimes accept it. */
export function toOldestOpset(bytes: Uint8Array): Uint8Array {
  const model = fromBinary(ModelProtoSchema, bytes);
  const needed = model.graph?.node.map(({ opType }) => SINCE[opType] ?? OLDEST_OPSET) ?? [];
  const opset = Math.max(OLDEST_OPSET, ...needed);
  model.irVersion = BigInt(IR_OF_OPSET[opset]!);
  for (const entry of model.opsetImport) if (entry.domain === '') entry.version = BigInt(opset);
  return toBinary(ModelProtoSchema, model);
}
