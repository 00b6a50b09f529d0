import { sizeOf } from '../../graph/dims.ts';
import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import { checkTensor, type OptimizerState, type StateTensor } from '../optimizers/optimizer-common.ts';
import type { DeviceParameter } from './device-optimizer.ts';
import type { DeviceUnit } from './device-unit.ts';
import type { AnyStep } from './device-updates.ts';

/** Where a tensor of a weight is updated. */
export interface Place {
  readonly unit: DeviceUnit;
  readonly index: number;
}

/** The states of weights on a device, as a checkpoint has them. */
export class DeviceStates {
  /** The last vector that was read, by its place among the states: several weights have parts of it. */
  readonly #last = new Map<number, { readonly tensor: DeviceTensor; readonly data: Float32Array }>();

  readonly #memory: DeviceMemory;
  readonly #step: AnyStep;
  readonly #weights: ReadonlyMap<
    string,
    { readonly parameter: DeviceParameter; readonly places: readonly Place[] }
  >;

  constructor(
    memory: DeviceMemory,
    step: AnyStep,
    weights: ReadonlyMap<string, { readonly parameter: DeviceParameter; readonly places: readonly Place[] }>,
  ) {
    this.#memory = memory;
    this.#step = step;
    this.#weights = weights;
  }

  /** Called when they change. */
  changed(): void {
    this.#last.clear();
  }

  /** An array is read each time that it is used. */
  tensors(): Map<string, StateTensor> {
    const tensors = new Map<string, StateTensor>();
    for (const { key, shape, places, index } of this.#all()) {
      const read = () => this.#read(places, index);
      tensors.set(key, {
        dtype: 'F32',
        shape,
        get data() {
          return read();
        },
      });
    }
    return tensors;
  }

  /** Copies of all of them. */
  async download(): Promise<Map<string, StateTensor>> {
    const vectors = new Map<DeviceTensor, Float32Array>();
    const tensors = new Map<string, StateTensor>();
    for (const { key, shape, places, index } of this.#all()) {
      for (const { unit } of places) {
        const state = unit.states[index]!;
        if (vectors.has(state)) continue;
        const vector = new Float32Array(sizeOf(state.shape) as number);
        await this.#memory.download(state, vector);
        vectors.set(state, vector);
      }
      const data = joined(places, index, (state) => vectors.get(state)!);
      tensors.set(key, { dtype: 'F32', shape, data });
    }
    return tensors;
  }

  /** @throws RopewalkError, before anything is written, if a tensor is missing or does not fit. */
  restore(optimizer: string, saved: OptimizerState['tensors']): void {
    const data = new Map<string, Float32Array>();
    for (const { key, shape } of this.#all()) {
      const tensor = saved.get(key);
      const values = tensor?.data;
      checkTensor(
        optimizer,
        key,
        { dtype: 'F32', elements: sizeOf(shape) as number },
        tensor && values && { dtype: tensor.dtype, elements: values.length },
      );
      data.set(key, values as Float32Array);
    }
    this.changed();
    const vectors = new Map<DeviceTensor, { readonly vector: Float32Array; members: number }>();
    for (const { key, places, index } of this.#all()) {
      let at = 0;
      for (const { unit, index: member } of places) {
        const state = unit.states[index]!;
        const { start, end } = rangeIn(unit, member, state);
        const values = data.get(key)!.subarray(at, at + end - start);
        at += end - start;
        const size = sizeOf(state.shape) as number;
        const known = vectors.get(state) ?? { vector: new Float32Array(size), members: 0 };
        vectors.set(state, known);
        known.vector.set(values, start);
        if (++known.members < unit.members.length) continue;
        this.#memory.write(state, known.vector);
        vectors.delete(state);
      }
    }
  }

  *#all() {
    for (const [name, { parameter, places }] of this.#weights) {
      for (const [index, { prefix, shape }] of this.#step.states(parameter.shape).entries())
        yield { key: `${prefix}.${name}`, shape, places, index };
    }
  }

  #read(places: readonly Place[], index: number): Float32Array {
    return joined(places, index, (state) => this.#vector(state, index));
  }

  #vector(tensor: DeviceTensor, index: number): Float32Array {
    const last = this.#last.get(index);
    if (last?.tensor === tensor) return last.data;
    const data = new Float32Array(sizeOf(tensor.shape) as number);
    this.#memory.read(tensor, data);
    this.#last.set(index, { tensor, data });
    return data;
  }
}

function rangeIn(unit: DeviceUnit, member: number, state: DeviceTensor) {
  return unit.members.length > 1 ? unit.rangeOf(member) : { start: 0, end: sizeOf(state.shape) as number };
}

/** A weight's state from its parts. @param vectorOf a state of a unit. */
function joined(
  places: readonly Place[],
  index: number,
  vectorOf: (state: DeviceTensor) => Float32Array,
): Float32Array {
  const parts = places.map(({ unit, index: member }) => {
    const state = unit.states[index]!;
    const { start, end } = rangeIn(unit, member, state);
    return vectorOf(state).subarray(start, end);
  });
  const data = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return data;
}
