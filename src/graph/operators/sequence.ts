import { mulDims, sameDim, sizeOf } from '../dims.ts';
import { apply, type Operator, shapeError, type Tensor, type TensorType } from '../tensor.ts';
import { MASKED } from './attention.ts';

/**
 * Rotary angles and masks computed inside the graph, from token positions and an attention mask, as exported models
 * need.
 */

export interface RotaryAnglesAttributes {
  /** Radians per position of each pair, float32. */
  readonly inverseFrequencies: Float32Array;
}

/** cos and sin of position · frequency; the angle is rounded to float32 first, as in the reference. */
export const rotaryAnglesOp: Operator<RotaryAnglesAttributes> = {
  name: 'rotaryAngles',
  infer(inputs, { inverseFrequencies }) {
    const [positions] = inputs;
    if (inputs.length !== 1 || (positions?.dtype !== 'int64' && positions?.dtype !== 'int32')) {
      throw shapeError('rotaryAngles', inputs, 'needs integer positions');
    }
    const type: TensorType = { dtype: 'float32', shape: [...positions.shape, inverseFrequencies.length] };
    return [type, type];
  },
  evaluate([positions], { inverseFrequencies }) {
    const shape = [...positions!.shape, inverseFrequencies.length];
    const angles = Array.from(positions!.data).flatMap((position) =>
      Array.from(inverseFrequencies, (frequency) => Math.fround(position * frequency)),
    );
    return [Math.cos, Math.sin].map((f) => ({ shape, data: Float64Array.from(angles, f) }));
  },
  stopsGradient: true,
  lower(e, [positions], { attributes: { inverseFrequencies } }) {
    const frequencies = e.constant('float32', [inverseFrequencies.length], inverseFrequencies);
    const column = e.node('Unsqueeze', [
      e.node('Cast', [positions!], { to: 1 })[0]!,
      e.constant('int64', [1], [-1]),
    ]);
    const angle = e.node('Mul', [column[0]!, frequencies]);
    return [e.node('Cos', angle)[0]!, e.node('Sin', angle)[0]!];
  },
  examples: [
    {
      inputs: [{ dtype: 'int64', shape: [2, 3] }],
      attributes: { inverseFrequencies: Float32Array.of(1, 0.1, 0.001) },
      below: 300,
    },
  ],
};

/** positions `[…]` → cos and sin `[…, frequencies]`. */
export function rotaryAngles(
  positions: Tensor,
  inverseFrequencies: Float32Array,
): { cos: Tensor; sin: Tensor } {
  const [cos, sin] = apply(rotaryAnglesOp, [positions], { inverseFrequencies });
  return { cos: cos!, sin: sin! };
}

export interface PaddedMaskAttributes {
  /** A query sees the last `window` keys, including its own; null means all previous keys. */
  readonly window: number | null;
  /** How often the queries are repeated along the rows: the number of heads that share keys. */
  readonly group: number;
}

/**
 * 0 where a query sees a key, {@link MASKED} elsewhere, for sequences padded to one length. The queries are the last
 * `time` of `total` slots; a key is seen if it is not padding, not after the query, and within its window. The window
 * counts slots rather than positions, since padding has no position; between real tokens the distances are the same.
 */
export const paddedMaskOp: Operator<PaddedMaskAttributes> = {
  name: 'paddedMask',
  infer(inputs, { group }) {
    const [ids, kept] = inputs;
    const integers = inputs.every(({ dtype }) => dtype === 'int64');
    if (
      !integers ||
      ids?.shape.length !== 2 ||
      kept?.shape.length !== 2 ||
      !sameDim(ids.shape[0]!, kept.shape[0]!)
    ) {
      throw shapeError(
        'paddedMask',
        inputs,
        'needs int64 ids [batch, time] and attention mask [batch, total]',
      );
    }
    return [{ dtype: 'float32', shape: [ids.shape[0]!, 1, mulDims(group, ids.shape[1]!), kept.shape[1]!] }];
  },
  evaluate([ids, kept], { window, group }) {
    const [batch, time] = ids!.shape as [number, number];
    const total = kept!.shape[1]!;
    const shape = [batch, 1, group * time, total];
    const data = new Float64Array(sizeOf(shape));
    for (let row = 0; row < batch * group * time; row++) {
      const sequence = Math.floor(row / (group * time));
      const query = total - time + (row % time);
      for (let key = 0; key < total; key++) {
        const real = kept!.data[sequence * total + key] !== 0;
        const seen = real && key <= query && (window === null || key > query - window);
        data[row * total + key] = seen ? 0 : MASKED;
      }
    }
    return [{ shape, data }];
  },
  stopsGradient: true,
  lower(e, [ids, kept], { attributes: { window, group } }) {
    const one = (type: string, inputs: string[], attributes = {}) => e.node(type, inputs, attributes)[0]!;
    const int = (value: number) => e.constant('int64', [], [value]);
    const axis = (value: number) => e.constant('int64', [1], [value]);
    const length = (x: string) => one('Gather', [one('Shape', [x]), int(1)], { axis: 0 });
    const total = length(kept!);
    const first = one('Sub', [total, length(ids!)]);
    const query = one('Unsqueeze', [one('Range', [first, total, int(1)]), axis(1)]);
    const key = one('Range', [int(0), total, int(1)]);
    let seen = one('LessOrEqual', [key, query]);
    if (window !== null) seen = one('And', [seen, one('Greater', [key, one('Sub', [query, int(window)])])]);
    const real = one('Unsqueeze', [one('Cast', [kept!], { to: 9 }), axis(1)]);
    // [batch, time, total]
    const zero = e.constant('float32', [], [0]);
    const mask = one('Where', [one('And', [real, seen]), zero, e.constant('float32', [], [MASKED])]);
    const stacked = group === 1 ? mask : one('Concat', new Array<string>(group).fill(mask), { axis: 1 });
    return e.node('Unsqueeze', [stacked, axis(1)]);
  },
  examples: [paddedExample(1, null, 5), paddedExample(2, null, 3), paddedExample(3, 2, 5)],
};

function paddedExample(group: number, window: number | null, total: number) {
  return {
    inputs: [
      { dtype: 'int64', shape: [2, 3] },
      { dtype: 'int64', shape: [2, total] },
    ] as TensorType[],
    attributes: { group, window },
    below: 2,
  };
}

/**
 * ids int64 `[batch, time]` (only for its shape), kept int64 `[batch, total]`: 1 for tokens and 0 for padding →
 * `[batch, 1, group · time, total]`, to be added to scores.
 */
export function paddedMask(ids: Tensor, kept: Tensor, attributes: PaddedMaskAttributes): Tensor {
  return apply(paddedMaskOp, [ids, kept], attributes)[0]!;
}
