import {
  apply,
  isNodeOf,
  type Lowering,
  type None,
  shapeError,
  type Tensor,
  type TensorType,
} from '../tensor.ts';
import type { Values } from '../values.ts';
import { mapValues } from '../values.ts';

/** onnx.TensorProto.DataType of a Cast's `to`. */
const TO = { float32: 1, float16: 10 } as const;

function cast(name: string, from: 'float32' | 'float16', to: 'float32' | 'float16'): Lowering<None> {
  return {
    name,
    infer(inputs: readonly TensorType[]) {
      const [x] = inputs;
      if (x?.dtype !== from) throw shapeError(name, inputs, `needs a ${from} tensor`);
      return [{ dtype: to, shape: x.shape }];
    },
    evaluate: ([x]: readonly Values[]) => [to === 'float16' ? mapValues(x!, roundToHalf) : x!],
    lower: (e, inputs) => e.node('Cast', inputs, { to: TO[to] }),
    cheap: true,
    examples: [],
  };
}

/** float32 → float16, rounded to nearest even. What is larger than 65,504 becomes infinite. */
export const toHalfOp: Lowering<None> = cast('toHalf', 'float32', 'float16');

/** float16 → float32, exactly. */
const fromHalfOp: Lowering<None> = cast('fromHalf', 'float16', 'float32');

/** x in float16; where it came from there, that tensor. */
export function toHalf(x: Tensor): Tensor {
  return isNodeOf(x.node, fromHalfOp) ? x.node.inputs[0]! : apply(toHalfOp, [x], {})[0]!;
}

/** x in float32. */
export function fromHalf(x: Tensor): Tensor {
  return apply(fromHalfOp, [x], {})[0]!;
}

/** The nearest number that float16 has: 11 significant bits, exponents from −14; even where two are as near. */
export function roundToHalf(x: number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(x))));
  const unit = 2 ** (exponent - 10);
  const scaled = x / unit;
  const below = Math.floor(scaled);
  const rest = scaled - below;
  const even = below % 2 === 0 ? below : below + 1;
  const rounded = (rest === 0.5 ? even : Math.round(scaled)) * unit;
  return Math.abs(rounded) > 65_504 ? Math.sign(x) * Number.POSITIVE_INFINITY : rounded;
}
