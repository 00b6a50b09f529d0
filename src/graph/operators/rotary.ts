import { sameDim, sameShape } from '../dims.ts';
import { apply, floats, type Operator, shapeError, type Tensor } from '../tensor.ts';
import { reshape } from './broadcast.ts';
import { add, mul, neg, sub } from './elementwise.ts';
import { concat, split } from './shape.ts';

export interface RotaryAttributes {
  readonly heads: number;
}

/**
 * Rotary position embedding in Hugging Face's layout of halves: within each head, the pair (x[i], x[i + head_dim/2])
 * is rotated by the angle of its row. The transpose of a rotation is its inverse, so the derivative is the same
 * operator with −sin. Su et al. 2021, arXiv:2104.09864.
 */
export const rotaryOp: Operator<RotaryAttributes> = {
  name: 'rotary',
  // OpenVINO's provider does not take RotaryEmbedding of ai.onnx.
  fits: (_, __, dialect) => dialect !== 'library',
  infer(inputs, { heads }) {
    const [x, cos, sin] = inputs;
    const width = x?.shape.at(-1);
    const half = cos?.shape.at(-1);
    const fits =
      x &&
      cos &&
      sin &&
      typeof width === 'number' &&
      typeof half === 'number' &&
      width === 2 * half * heads &&
      (cos.shape.length === 2 || (cos.shape.length === 3 && x.shape.length === 3)) &&
      sameDim(cos.shape.at(-2)!, x.shape.at(-2)!) &&
      sameShape(cos.shape, sin.shape);
    if (!fits) {
      throw shapeError(
        'rotary',
        inputs,
        `needs […, tokens, ${heads} · head_dim] and angles [tokens, head_dim / 2], or angles per sequence`,
      );
    }
    return [x];
  },
  evaluate([x, cos, sin], { heads }) {
    const half = cos!.shape.at(-1)!;
    const data = x!.data.slice();
    const rows = data.length / (heads * 2 * half);
    for (let row = 0; row < rows; row++) {
      for (let head = 0; head < heads; head++) {
        const at = (row * heads + head) * 2 * half;
        for (let i = 0; i < half; i++) {
          const c = cos!.data[row * half + i]!;
          const s = sin!.data[row * half + i]!;
          data[at + i] = x!.data[at + i]! * c - x!.data[at + half + i]! * s;
          data[at + half + i] = x!.data[at + half + i]! * c + x!.data[at + i]! * s;
        }
      }
    }
    return [{ shape: x!.shape, data }];
  },
  differentiate({ inputs, gradients, attributes: { heads } }) {
    return [rotary(gradients[0]!, inputs[1]!, neg(inputs[2]!), heads), undefined, undefined];
  },
  expand([x, cos, sin], { heads }) {
    const half = cos!.shape.at(-1) as number;
    // […, tokens, heads, d / 2]: the halves of each head.
    const byHead = reshape(x!, [...x!.shape.slice(0, -1), heads, 2 * half]);
    const [first, second] = split(byHead, byHead.shape.length - 1, [half, half]) as [Tensor, Tensor];
    const [c, s] = [cos!, sin!].map((angle) => reshape(angle, [...angle.shape.slice(0, -1), 1, half])) as [
      Tensor,
      Tensor,
    ];
    const turned = [sub(mul(first, c), mul(second, s)), add(mul(second, c), mul(first, s))];
    return [reshape(concat(turned, byHead.shape.length - 1), x!.shape)];
  },
  lower(e, [x, cos, sin], { inputs, attributes: { heads } }) {
    const [type, angles] = inputs as [Tensor, Tensor];
    const batched = type.rank === 3;
    const lift = (name: string, width: number) =>
      e.node('Reshape', [name, e.constant('int64', [3], [1, -1, width])])[0]!;
    const width = type.shape.at(-1) as number;
    const half = angles.shape.at(-1) as number;
    const angle = (name: string) => (angles.rank === 3 ? name : lift(name, half));
    // ai.onnx RotaryEmbedding (opset 23) takes cos and sin as [batch, tokens, head_dim / 2] when there are no
    // position_ids.
    const turned = e.node('RotaryEmbedding', [batched ? x! : lift(x!, width), angle(cos!), angle(sin!)], {
      num_heads: heads,
    });
    return batched ? turned : e.node('Reshape', [turned[0]!, e.constant('int64', [2], [-1, width])]);
  },
  examples: [
    {
      inputs: [floats(3, 8), floats(3, 2), floats(3, 2)],
      attributes: { heads: 2 },
    },
    {
      inputs: [floats(2, 3, 8), floats(2, 3, 2), floats(2, 3, 2)],
      attributes: { heads: 2 },
    },
  ],
};

/**
 * x `[…, tokens, heads · head_dim]`, cos and sin `[tokens, head_dim / 2]`, or `[batch, tokens, head_dim / 2]` when
 * the sequences of a batch are at different positions (no gradient) → the shape of x.
 */
export function rotary(x: Tensor, cos: Tensor, sin: Tensor, heads: number): Tensor {
  return apply(rotaryOp, [x, cos, sin], { heads })[0]!;
}
