import { type Dim, mulDims, sameDim, sizeOf } from '../dims.ts';
import { quantizedProduct } from '../lowerings/quantized-product.ts';
import {
  apply,
  floats,
  isNodeOf,
  type Node,
  type Operator,
  shapeError,
  type Tensor,
  type TensorType,
} from '../tensor.ts';
import { reshape } from './broadcast.ts';
import { add } from './elementwise.ts';
import { parameterName } from './sources.ts';

export interface MatmulAttributes {
  /** Whether the last two axes of `a` (of `b`) are transposed first. */
  readonly transA: boolean;
  readonly transB: boolean;
  /** Factor of the product. */
  readonly alpha: number;
}

function sides(x: TensorType, swapped: boolean): [Dim, Dim] {
  const rows = x.shape.at(-2)!;
  const columns = x.shape.at(-1)!;
  return swapped ? [columns, rows] : [rows, columns];
}

function isFloat({ dtype }: TensorType): boolean {
  return dtype === 'float32' || dtype === 'float16';
}

export const matmulOp: Operator<MatmulAttributes> = {
  name: 'matmul',
  infer(inputs, { transA, transB }) {
    const [a, b] = inputs;
    if (!a || !b || !isFloat(a) || a.dtype !== b.dtype || a.shape.length < 2 || b.shape.length < 2) {
      throw shapeError('matmul', inputs, 'needs two float tensors of one type with at least two axes');
    }
    const [m, k] = sides(a, transA);
    const [k2, n] = sides(b, transB);
    const batch = a.shape.slice(0, -2);
    // A matrix on the right is shared by every batch of `a`.
    const shared = b.shape.length === 2 && (a.shape.length === 2 || !transA);
    const same =
      a.shape.length === b.shape.length && batch.every((dim, axis) => sameDim(dim, b.shape[axis]!));
    if (!sameDim(k, k2) || !(shared || same)) {
      throw shapeError('matmul', inputs, `the inner sizes ${k} and ${k2} or the batches do not match`);
    }
    return [{ dtype: a.dtype, shape: [...batch, m, n] }];
  },
  evaluate([a, b], { transA, transB, alpha }) {
    const [m, k] = sides({ dtype: 'float32', shape: a!.shape }, transA) as [number, number];
    const n = sides({ dtype: 'float32', shape: b!.shape }, transB)[1] as number;
    const batches = sizeOf(a!.shape.slice(0, -2));
    const data = new Float64Array(batches * m * n);
    for (let batch = 0; batch < batches; batch++) {
      const atA = batch * m * k;
      const atB = b!.shape.length === 2 ? 0 : batch * k * n;
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let l = 0; l < k; l++) {
            const left = a!.data[atA + (transA ? l * m + i : i * k + l)]!;
            sum += left * b!.data[atB + (transB ? j * k + l : l * n + j)]!;
          }
          data[(batch * m + i) * n + j] = alpha * sum;
        }
      }
    }
    return [{ shape: [...a!.shape.slice(0, -2), m, n], data }];
  },
  differentiate({ inputs, gradients, attributes: { transA, transB, alpha }, wanted }) {
    const [a, b] = inputs as [Tensor, Tensor];
    const dy = gradients[0]!;
    let da: Tensor | undefined;
    let db: Tensor | undefined;
    if (wanted[0]) {
      da = transA
        ? matmul(b, dy, { transA: transB, transB: true, alpha })
        : matmul(dy, b, { transB: !transB, alpha });
    }
    if (wanted[1]) {
      const shared = a.rank > 2 && b.rank === 2;
      const left = shared ? flattenRows(a) : a;
      const right = shared ? flattenRows(dy) : dy;
      db = transB
        ? matmul(right, left, { transA: true, transB: transA, alpha })
        : matmul(left, right, { transA: !transA, alpha });
    }
    return [da, db];
  },
  packedInput: 1,
  lower(e, inputs, { attributes: { transA, transB, alpha }, inputs: types }) {
    const weight = e.quantized(inputs[1]!);
    if (weight) return quantizedProduct(e, inputs[0]!, types[0]!.shape.length, weight);
    if (!transA && !transB && alpha === 1) return e.node('MatMul', inputs);
    if (e.dialect === 'onnxruntime') {
      const attributes = { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: { float: alpha } };
      return e.node('FusedMatMul', inputs, attributes, { domain: 'com.microsoft' });
    }
    const [left, right] = types as readonly [Tensor, Tensor];
    // FusedMatMul has no WebGPU kernel. Gemm has one, but it reads a transposed right side at a third of the speed of others
    // (6.6 instead of 23 TFLOP/s on an H100): such a side is transposed first.
    if (e.dialect === 'webgpu' && right.rank === 2 && left.rank === 2 && transA) {
      const matrix = transB ? e.node('Transpose', [inputs[1]!], { perm: [1, 0] })[0]! : inputs[1]!;
      return e.node('Gemm', [inputs[0]!, matrix], { transA: 1, alpha: { float: alpha } });
    }
    const swap = (name: string, x: TensorType) => {
      const perm = x.shape.map((_, axis) => axis);
      perm.push(...perm.splice(-2).reverse());
      return e.node('Transpose', [name], { perm })[0]!;
    };
    const a = transA ? swap(inputs[0]!, types[0]!) : inputs[0]!;
    const b = transB ? swap(inputs[1]!, types[1]!) : inputs[1]!;
    const product = e.node('MatMul', [a, b]);
    return alpha === 1 ? product : e.node('Mul', [product[0]!, e.constant('float32', [], [alpha])]);
  },
  examples: [
    example([3, 4], [4, 5], false, false, 1),
    example([4, 3], [5, 4], true, true, 0.5),
    example([3, 4], [5, 4], false, true, 2),
    example([2, 3, 4], [4, 5], false, false, 1),
    example([2, 3, 4], [5, 4], false, true, 1),
    example([2, 2, 3, 4], [2, 2, 5, 4], false, true, 0.25),
    example([2, 4, 3], [2, 4, 5], true, false, 1),
  ],
};

function example(a: number[], b: number[], transA: boolean, transB: boolean, alpha: number) {
  return { inputs: [floats(...a), floats(...b)], attributes: { transA, transB, alpha } };
}

function flattenRows(x: Tensor): Tensor {
  return reshape(x, [sizeOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);
}

/** alpha · op(a) · op(b) over the last two axes; a matrix `b` is shared by every batch of `a`. */
export function matmul(a: Tensor, b: Tensor, options: Partial<MatmulAttributes> = {}): Tensor {
  const { transA = false, transB = false, alpha = 1 } = options;
  return apply(matmulOp, [a, b], { transA, transB, alpha })[0]!;
}

/**
 * x · weightᵀ + bias with Hugging Face's layout: x `[…, in]`, weight `[out, in]`, bias `[out]` → `[…, out]`.
 * Nothing is transposed: the engine reads the weight as it is stored.
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const y = matmul(x, weight, { transB: true });
  return bias ? add(y, bias) : y;
}

/** The path of the weight if a node is x · weightᵀ with a parameter; undefined otherwise. */
export function linearWeight(node: Node): string | undefined {
  if (!isNodeOf(node, matmulOp)) return undefined;
  const { transA, transB, alpha } = node.attributes;
  return !transA && transB && alpha === 1 ? parameterName(node.inputs[1]!.node) : undefined;
}

/** The number of floating-point operations of a product: two per multiply-add. */
export function matmulFlops(node: {
  inputs: readonly Tensor[];
  outputs: readonly Tensor[];
  attributes: object;
}): Dim {
  const { transA } = node.attributes as MatmulAttributes;
  const inner = sides(node.inputs[0]!, transA)[1];
  return mulDims(2, mulDims(inner, sizeOf(node.outputs[0]!.shape)));
}
