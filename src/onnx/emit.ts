import { option, RopewalkError, said } from '../errors.ts';
import { sizeOf, staticShape } from '../graph/dims.ts';
import { type InputAttributes, inputOp, matmulOp } from '../graph/operators/index.ts';
import { simplify } from '../graph/simplify.ts';
import {
  type Dialect,
  type DType,
  type Emitter,
  isNodeOf,
  type Node,
  type QuantizedWeight,
  type Tensor,
} from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';
import {
  type AttributeValue,
  encodeModel,
  externalTensor,
  inlineTensor,
  nodeProto,
  smallTensor,
  valueInfo,
} from './proto.ts';
import {
  blocksInRow,
  type QuantizedMatrix,
  type QuantizedSource,
  type WeightSource,
  zeroPointBytes,
} from './weights.ts';

export type { WeightSource } from './weights.ts';

export interface EmitOptions {
  readonly dialect?: Dialect;
  /** Parameters named here become initializers; the others stay inputs. */
  readonly weights?: ReadonlyMap<string, WeightSource>;
  /**
   * Weights in memory stay outside the model, for an engine that takes them separately; see `ProvidedWeight`. The
   * model claims that they are in `file`, which must exist but is never read.
   */
  readonly provide?: { readonly file: string } | undefined;
}

export interface ProvidedTensor {
  readonly name: string;
  readonly type: 'float32' | 'uint8';
  readonly shape: readonly number[];
  /** Set when only products read it: an engine that packs this part of such weights no longer needs this form. */
  readonly product?: { readonly weight: ProductWeight; readonly part: ProductPart };
}

/** What determines whether an engine packs a product's weight. */
export type ProductWeight =
  | { readonly bits: 4 | 8; readonly block: number; readonly exact: boolean; readonly zeroPoints: boolean }
  | { readonly transposed: boolean };

/** The parts of a weight: its values, or its scales and zero points. */
export type ProductPart = 'numbers' | 'factors';

/** Initializers that the model names and the engine receives separately. */
export interface ProvidedWeight {
  readonly tensors: readonly ProvidedTensor[];
  /** Writes the contents of `tensors` into arrays of their types and sizes, in their order. */
  fill(targets: readonly (Float32Array | Uint8Array)[]): Promise<void>;
}

export interface EmittedModel {
  readonly bytes: Uint8Array;
  /** The inputs of a run, by name. */
  readonly inputs: ReadonlyMap<string, InputAttributes>;
  /** ONNX output name by the caller's name. */
  readonly outputs: readonly string[];
  readonly provided: readonly ProvidedWeight[];
}

/** Writes a graph as an ONNX model. The outputs keep their names. */
export function emitModel(outputs: ReadonlyMap<string, Tensor>, options: EmitOptions = {}): EmittedModel {
  const dialect = options.dialect ?? 'onnxruntime';
  const roots = simplify([...outputs.values()], dialect);
  const order = topologicalOrder(roots);
  const used = new Set<Tensor>(roots);
  for (const node of order) for (const tensor of node.inputs) used.add(tensor);
  const writer = new Writer(dialect, used, options.provide, productWeights(order));
  const names = new Map<Tensor, string>();
  for (const node of order) {
    const { operator } = node;
    let results: readonly string[];
    if (isNodeOf(node, inputOp)) {
      results = [writer.input(node.attributes, options.weights)];
    } else if (operator.lower) {
      const inputs = node.inputs.map((tensor) => names.get(tensor)!);
      if (inputs.some((name, i) => i !== operator.packedInput && writer.quantized(name))) {
        throw new RopewalkError(
          `${operator.name}: cannot read a quantized weight; only matrix products can.`,
        );
      }
      results = operator.lower(writer, inputs, node);
    } else {
      throw new RopewalkError(`${operator.name}: cannot be written as ONNX here.`);
    }
    results.forEach((name, i) => {
      names.set(node.outputs[i]!, name);
    });
  }
  const outputNames = [...outputs.keys()];
  roots.forEach((root, i) => {
    writer.output(outputNames[i]!, names.get(root)!, root);
  });
  const { runtimeInputs: inputs, provided } = writer;
  return { bytes: writer.finish(), inputs, outputs: outputNames, provided };
}

/** Parameters that only products read, as their right side, all in the same layout. */
function productWeights(order: readonly Node[]): Map<string, { readonly transposed: boolean }> {
  const products = new Map<string, { readonly transposed: boolean }>();
  const others = new Set<string>();
  for (const node of order) {
    node.inputs.forEach((tensor, i) => {
      if (!isNodeOf(tensor.node, inputOp)) return;
      const { name } = tensor.node.attributes;
      const transposed = isNodeOf(node, matmulOp) && !node.attributes.transB;
      const known = products.get(name);
      const isProduct = node.operator.packedInput === i;
      if (!isProduct || (known && known.transposed !== transposed)) others.add(name);
      else products.set(name, { transposed });
    });
  }
  for (const name of others) products.delete(name);
  return products;
}

class Writer implements Emitter {
  readonly runtimeInputs = new Map<string, InputAttributes>();
  readonly #graph: Parameters<typeof encodeModel>[0] = {
    nodes: [],
    inputs: [],
    outputs: [],
    initializers: [],
  };
  readonly #equal = new Map<string, string[]>();
  readonly #constants = new Map<string, string>();
  readonly #large = new Map<ArrayLike<number>, string>();
  readonly #inFewBits = new Map<string, QuantizedWeight>();
  /** Values that are outputs, and those outputs' names. */
  readonly #renamed = new Map<string, string>();
  readonly provided: ProvidedWeight[] = [];
  #count = 0;

  readonly #used: ReadonlySet<Tensor>;
  readonly #provide: EmitOptions['provide'];
  readonly #products: ReadonlyMap<string, { readonly transposed: boolean }>;

  constructor(
    readonly dialect: Dialect,
    used: ReadonlySet<Tensor>,
    provide: EmitOptions['provide'],
    products: ReadonlyMap<string, { readonly transposed: boolean }>,
  ) {
    this.#used = used;
    this.#provide = provide;
    this.#products = products;
  }

  quantized(value: string): QuantizedWeight | undefined {
    return this.#inFewBits.get(value);
  }

  isUsed(tensor: Tensor): boolean {
    return this.#used.has(tensor);
  }

  node(
    type: string,
    inputs: readonly string[],
    attributes: Record<string, AttributeValue> = {},
    options: { domain?: string; outputs?: number } = {},
  ): string[] {
    const { domain = '', outputs = 1 } = options;
    const key = JSON.stringify([type, domain, inputs, attributes, outputs]);
    const known = this.#equal.get(key);
    if (known) return known;
    const names = Array.from({ length: outputs }, (_, i) => `${type}_${this.#count}${i > 0 ? `.${i}` : ''}`);
    this.#count++;
    this.#graph.nodes.push(nodeProto(type, domain, inputs, names, attributes));
    this.#equal.set(key, names);
    return names;
  }

  constant(dtype: DType, shape: readonly number[], data: ArrayLike<number>): string {
    // Small constants are shared by value, large ones by identity.
    const key = data.length <= 64 ? JSON.stringify([dtype, shape, Array.from(data)]) : undefined;
    const known = key === undefined ? this.#large.get(data) : this.#constants.get(key);
    if (known) return known;
    const name = `constant_${this.#count++}`;
    this.#graph.initializers.push(smallTensor(name, dtype, shape, data));
    if (key === undefined) this.#large.set(data, name);
    else this.#constants.set(key, name);
    return name;
  }

  input(attributes: InputAttributes, weights: ReadonlyMap<string, WeightSource> | undefined): string {
    const { name, shape } = attributes;
    const source = attributes.parameter ? weights?.get(name) : undefined;
    if (!source) {
      if (!this.runtimeInputs.has(name)) this.#graph.inputs.push(valueInfo(name, attributes));
      this.runtimeInputs.set(name, attributes);
      return name;
    }
    const sizes = staticShape(shape, `the weight ${name}`);
    if ('quantized' in source) return this.#quantizedInput(name, source.quantized);
    if ('file' in source) {
      const { file } = source;
      this.#graph.initializers.push(externalTensor(name, file.dtype, sizes, file));
      // The engine folds the cast on loading: half-precision files become float32 in memory.
      return file.dtype === 'float32' ? name : this.node('Cast', [name], { to: 1 })[0]!;
    }
    if (this.#provide) {
      const fill = async ([target]: readonly (Float32Array | Uint8Array)[]) =>
        target!.set('data' in source ? source.data : await source.read());
      const weight = this.#products.get(name);
      const tensor = { name, type: 'float32', shape: sizes } as const;
      this.#outside({
        tensors: [weight ? { ...tensor, product: { weight, part: 'numbers' } } : tensor],
        fill,
      });
    } else {
      if (!('data' in source)) throw new RopewalkError(`the weight ${name} was not read before it was used.`);
      this.#graph.initializers.push(inlineTensor(name, 'float32', sizes, source.data));
    }
    return name;
  }

  /** The initializers of a quantized weight; its name then refers to all of them. */
  #quantizedInput(name: string, source: QuantizedSource): string {
    if (this.dialect === 'standard')
      throw new RopewalkError(
        said`${name}: ai.onnx has no quantized matrix product; dequantize the weights (${option('quantize', 'none')}).`,
      );
    const { rows, bits, block, hasOffsets, hasZeroPoints = false } = source;
    const blocks = blocksInRow(source);
    const shape = [rows, blocks, (block * bits) / 8];
    const weight = { bits, block, exact: source.exact ?? false, zeroPoints: hasZeroPoints };
    const numbers = { weight, part: 'numbers' } as const;
    const factors = { weight, part: 'factors' } as const;
    const data = { name: `${name}.data`, type: 'uint8', shape, product: numbers } as const;
    const scales = {
      name: `${name}.scales`,
      type: 'float32',
      shape: [rows, blocks],
      product: factors,
    } as const;
    const zeroPoints = {
      name: `${name}.zero_points`,
      type: 'uint8',
      shape: [rows, zeroPointBytes(source)],
      product: factors,
    } as const;
    const offsets = { name: `${name}.offsets`, type: 'float32', shape: [rows, blocks] } as const;
    const tensors = [data, scales, ...(hasZeroPoints ? [zeroPoints] : []), ...(hasOffsets ? [offsets] : [])];
    const arrays = (matrix: QuantizedMatrix) =>
      [matrix.data, matrix.scales, matrix.zeroPoints, matrix.offsets].filter((array) => array !== undefined);
    if (this.#provide) {
      const fill = async (targets: readonly (Float32Array | Uint8Array)[]) => {
        await source.read({
          data: targets[0] as Uint8Array,
          scales: targets[1] as Float32Array,
          ...(hasZeroPoints && { zeroPoints: targets[2] as Uint8Array }),
          ...(hasOffsets && { offsets: targets.at(-1) as Float32Array }),
        });
      };
      this.#outside({ tensors, fill });
    } else {
      if (!source.matrix) throw new RopewalkError(`the weight ${name} was not read before it was used.`);
      const values = arrays(source.matrix);
      tensors.forEach((tensor, i) => {
        this.#graph.initializers.push(inlineTensor(tensor.name, tensor.type, tensor.shape, values[i]!));
      });
    }
    this.#inFewBits.set(name, {
      ...source,
      exact: source.exact ?? false,
      data: data.name,
      scales: scales.name,
      ...(hasZeroPoints && { zeroPoints: zeroPoints.name }),
      ...(hasOffsets && { offsets: offsets.name }),
    });
    return name;
  }

  #outside(weight: ProvidedWeight): void {
    this.provided.push(weight);
    for (const { name, type, shape } of weight.tensors) {
      const byteLength = sizeOf(shape) * (type === 'uint8' ? 1 : 4);
      this.#graph.initializers.push(
        externalTensor(name, type, shape, { location: this.#provide!.file, offset: 0, byteLength }),
      );
    }
  }

  output(name: string, value: string, tensor: Tensor): void {
    this.#graph.outputs.push(valueInfo(name, tensor));
    // The operator that computes a value writes the output: an Identity would copy a value that others read too.
    const isComputed = this.#graph.nodes.some(({ output }) => output.includes(value));
    if (isComputed && !this.#renamed.has(value)) this.#renamed.set(value, name);
    else this.#graph.nodes.push(nodeProto('Identity', '', [value], [name], {}));
  }

  finish(): Uint8Array {
    const rename = (name: string) => this.#renamed.get(name) ?? name;
    for (const node of this.#graph.nodes) {
      node.input = node.input.map(rename);
      node.output = node.output.map(rename);
    }
    return encodeModel(this.#graph);
  }
}
