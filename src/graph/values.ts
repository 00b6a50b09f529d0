import { sizeOf } from './dims.ts';

/** A concrete array in float64, whatever its dtype in the graph: the reference for the engine. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** Calls `visit` with every index of `shape` in row-major order. The array passed is reused. */
export function forEachIndex(
  shape: readonly number[],
  visit: (index: readonly number[], flat: number) => void,
) {
  const size = sizeOf(shape);
  const index = new Array<number>(shape.length).fill(0);
  for (let flat = 0; flat < size; flat++) {
    visit(index, flat);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = index[axis]! + 1;
      if (index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
}

/** The flat position in `shape` of an index of a larger shape that it broadcasts to. */
export function broadcastPosition(
  index: readonly number[],
  shape: readonly number[],
  strides: readonly number[],
) {
  let position = 0;
  const offset = index.length - shape.length;
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] !== 1) position += index[offset + axis]! * strides[axis]!;
  }
  return position;
}

export function mapValues(x: Values, f: (value: number) => number): Values {
  return { shape: x.shape, data: x.data.map(f) };
}

/** Applies a function of several numbers over broadcast arrays. */
export function zipValues(
  shape: readonly number[],
  inputs: readonly Values[],
  f: (...values: number[]) => number,
): Values {
  const data = new Float64Array(sizeOf(shape));
  const strides = inputs.map((input) => stridesOf(input.shape));
  forEachIndex(shape, (index, flat) => {
    const values = inputs.map((input, i) => input.data[broadcastPosition(index, input.shape, strides[i]!)]!);
    data[flat] = f(...values);
  });
  return { shape, data };
}
