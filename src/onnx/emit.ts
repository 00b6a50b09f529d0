import { RopewalkError } from '../errors.ts';
import { staticShape } from '../graph/dims.ts';
import type { InputAttributes } from '../graph/operators/elementwise.ts';
import { simplify } from '../graph/simplify.ts';
import type { DType, Emitter, Tensor } from '../graph/tensor.ts';
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

/** Where a weight's numbers are when it becomes an initialiser. */
export type WeightSource =
  | { readonly data: Float32Array }
  | {
      readonly file: {
        readonly location: string;
        readonly offset: number;
        readonly byteLength: number;
        readonly dtype: 'float32' | 'float16' | 'bfloat16';
      };
    };

export interface EmitOptions {
  readonly dialect?: Emitter['dialect'];
  /** Parameters named here become initialisers; the others stay inputs. */
  readonly weights?: ReadonlyMap<string, WeightSource>;
}

export interface EmittedModel {
  readonly bytes: Uint8Array;
  /** The inputs that a run must be given, by name. */
  readonly inputs: ReadonlyMap<string, InputAttributes>;
  /** ONNX output name by the caller's. */
  readonly outputs: readonly string[];
}

/** Writes a graph as an ONNX model. The outputs keep the names they are given. */
export function emitModel(outputs: ReadonlyMap<string, Tensor>, options: EmitOptions = {}): EmittedModel {
  const dialect = options.dialect ?? 'onnxruntime';
  const roots = simplify([...outputs.values()], dialect);
  const order = topologicalOrder(roots);
  const used = new Set<Tensor>(roots);
  for (const node of order) for (const tensor of node.inputs) used.add(tensor);
  const writer = new Writer(dialect, used);
  const names = new Map<Tensor, string>();
  for (const node of order) {
    const { operator, attributes } = node;
    let results: readonly string[];
    if (operator.name === 'input') {
      results = [writer.input(attributes as InputAttributes, options.weights)];
    } else if (operator.lower) {
      const inputs = node.inputs.map((tensor) => names.get(tensor)!);
      results = operator.lower(writer, inputs, node);
    } else {
      throw new RopewalkError(
        `${operator.name}: cannot be written as ONNX here${operator.name === 'scatterRows' ? '; it may only be added into an output' : ''}.`,
      );
    }
    results.forEach((name, i) => {
      names.set(node.outputs[i]!, name);
    });
  }
  const outputNames = [...outputs.keys()];
  roots.forEach((root, i) => {
    writer.output(outputNames[i]!, names.get(root)!, root);
  });
  return { bytes: writer.finish(), inputs: writer.runtimeInputs, outputs: outputNames };
}

class Writer implements Emitter {
  readonly runtimeInputs = new Map<string, InputAttributes>();
  private readonly graph: Parameters<typeof encodeModel>[0] = {
    nodes: [],
    inputs: [],
    outputs: [],
    initializers: [],
  };
  private readonly equal = new Map<string, string[]>();
  private readonly constants = new Map<string, string>();
  private readonly large = new Map<ArrayLike<number>, string>();
  private count = 0;

  constructor(
    readonly dialect: Emitter['dialect'],
    private readonly used: ReadonlySet<Tensor>,
  ) {}

  isUsed(tensor: Tensor): boolean {
    return this.used.has(tensor);
  }

  node(
    type: string,
    inputs: readonly string[],
    attributes: Record<string, AttributeValue> = {},
    options: { domain?: string; outputs?: number } = {},
  ): string[] {
    const { domain = '', outputs = 1 } = options;
    const key = JSON.stringify([type, domain, inputs, attributes, outputs]);
    const known = this.equal.get(key);
    if (known) return known;
    const names = Array.from({ length: outputs }, (_, i) => `${type}_${this.count}${i > 0 ? `.${i}` : ''}`);
    this.count++;
    this.graph.nodes.push(nodeProto(type, domain, inputs, names, attributes));
    this.equal.set(key, names);
    return names;
  }

  constant(dtype: DType, shape: readonly number[], data: ArrayLike<number>): string {
    // Small constants are one by value, large ones by identity.
    const key = data.length <= 64 ? JSON.stringify([dtype, shape, Array.from(data)]) : undefined;
    const known = key === undefined ? this.large.get(data) : this.constants.get(key);
    if (known) return known;
    const name = `constant_${this.count++}`;
    this.graph.initializers.push(smallTensor(name, dtype, shape, data));
    if (key === undefined) this.large.set(data, name);
    else this.constants.set(key, name);
    return name;
  }

  input(attributes: InputAttributes, weights: ReadonlyMap<string, WeightSource> | undefined): string {
    const { name, shape } = attributes;
    const source = attributes.parameter ? weights?.get(name) : undefined;
    if (!source) {
      if (!this.runtimeInputs.has(name)) this.graph.inputs.push(valueInfo(name, attributes));
      this.runtimeInputs.set(name, attributes);
      return name;
    }
    const sizes = staticShape(shape, `the weight ${name}`);
    if ('data' in source) {
      this.graph.initializers.push(inlineTensor(name, 'float32', sizes, source.data));
      return name;
    }
    const { file } = source;
    this.graph.initializers.push(externalTensor(name, file.dtype, sizes, file));
    // The engine folds the cast when it loads: half-precision files become float32 in memory.
    return file.dtype === 'float32' ? name : this.node('Cast', [name], { to: 1 })[0]!;
  }

  output(name: string, value: string, tensor: Tensor): void {
    this.graph.nodes.push(nodeProto('Identity', '', [value], [name], {}));
    this.graph.outputs.push(valueInfo(name, tensor));
  }

  finish(): Uint8Array {
    return encodeModel(this.graph);
  }
}
