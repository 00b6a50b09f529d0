import { allocBeside, type HostMemory } from '../runtime/host-memory.ts';
import { type AdamWCoefficients, adamw } from '../runtime/kernels.ts';
import { type ParameterShape, type StateTensor, sizeOf } from './optimizer-common.ts';

/** AdamW's running averages for one parameter: m of the gradient, v of its square. Zeros before the first step. */
export interface Moments {
  /** Updates a run of the parameter's elements and their averages. @param offset where the run begins. */
  update(value: Float32Array, gradient: Float32Array, offset: number, coefficients: AdamWCoefficients): void;
  /** The arrays, under the names they have in a file. */
  tensors(): Iterable<readonly [string, StateTensor]>;
}

/** Both as float32: 8 bytes a weight. */
export class Float32Moments implements Moments {
  private readonly m: Float32Array;
  private readonly v: Float32Array;

  constructor(
    memory: HostMemory,
    private readonly parameter: ParameterShape,
  ) {
    const bytes = 4 * sizeOf(parameter.shape);
    const [m, v] = allocate(memory, parameter, [bytes, bytes]);
    this.m = float32(m!);
    this.v = float32(v!);
  }

  update(value: Float32Array, gradient: Float32Array, offset: number, coefficients: AdamWCoefficients): void {
    const end = offset + value.length;
    adamw(value, gradient, this.m.subarray(offset, end), this.v.subarray(offset, end), coefficients);
  }

  tensors(): [string, StateTensor][] {
    const { name, shape } = this.parameter;
    return [
      [`m.${name}`, { dtype: 'F32', data: this.m, shape }],
      [`v.${name}`, { dtype: 'F32', data: this.v, shape }],
    ];
  }
}

/** Zeroed arrays, beside the parameter's value where there is room: kernels work on one memory. */
function allocate(memory: HostMemory, { value }: ParameterShape, byteLengths: readonly number[]) {
  return (value && allocBeside(value, byteLengths)) ?? memory.allocByteGroup(byteLengths);
}

function float32({ buffer, byteOffset, byteLength }: Uint8Array): Float32Array {
  return new Float32Array(buffer, byteOffset, byteLength / 4);
}
