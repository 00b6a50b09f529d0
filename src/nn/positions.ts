import { constant, gatherRows } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { Embedding } from './embedding.ts';
import { Module } from './module.ts';
import type { Part, PositionPart } from './parts.ts';
import { type RopeScaling, rotaryFrequencies, rotaryMagnitude } from './rope-scaling.ts';

/** cos and sin of the angles of some positions, `[positions, head_dim / 2]` each, row-major. */
export interface RotaryTable {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/**
 * Rotary positions: each pair of a head's numbers is rotated by an angle proportional to the position, some pairs
 * slowly and some fast. The angle between a query and a key then depends only on their distance, in every layer. Su
 * et al. 2021, arXiv:2104.09864.
 */
export class RotaryEmbedding extends Module {
  /** Radians per position for each pair, in float32 as the reference computes them. */
  readonly inverseFrequencies: Float32Array;
  /** The factor of cos and sin: 1, except for YaRN. */
  readonly magnitude: number;

  readonly #local: boolean;

  constructor(
    readonly typeName: string,
    readonly headDim: number,
    readonly theta: number,
    readonly scaling: RopeScaling | null,
    /** A second table, for local layers only; the reference has both in one module. */
    local = false,
  ) {
    super();
    this.#local = local;
    this.inverseFrequencies = rotaryFrequencies(headDim, theta, scaling);
    this.magnitude = rotaryMagnitude(scaling);
  }

  override get isPrinted(): boolean {
    return !this.#local;
  }

  override describe(): Part {
    const { theta, scaling } = this;
    const local = this.#local;
    return {
      ...{ part: 'position', kind: 'rotary', theta },
      ...(scaling && { scaling: describeScaling(scaling) }),
      ...(local && { layers: 'local' }),
    };
  }

  /** The table for absolute positions, magnitude included; angles are rounded to float32 before cos and sin, as in the reference. */
  table(positions: ArrayLike<number>): RotaryTable {
    const half = this.inverseFrequencies.length;
    const cos = new Float32Array(positions.length * half);
    const sin = new Float32Array(positions.length * half);
    for (let row = 0; row < positions.length; row++) {
      for (let i = 0; i < half; i++) {
        const angle = Math.fround(positions[row]! * this.inverseFrequencies[i]!);
        cos[row * half + i] = Math.cos(angle) * this.magnitude;
        sin[row * half + i] = Math.sin(angle) * this.magnitude;
      }
    }
    return { cos, sin };
  }
}

function describeScaling(scaling: RopeScaling): NonNullable<PositionPart['scaling']> {
  const { rope_type: type, factor } = scaling;
  switch (scaling.rope_type) {
    case 'linear':
    case 'dynamic':
      return { type, factor };
    case 'llama3':
      return {
        ...{ type, factor },
        lowFrequencyFactor: scaling.low_freq_factor,
        highFrequencyFactor: scaling.high_freq_factor,
        originalPositions: scaling.original_max_position_embeddings,
      };
    case 'yarn':
      return {
        ...{ type, factor },
        originalPositions: scaling.original_max_position_embeddings,
        magnitude: scaling.attention_factor,
      };
  }
}

/**
 * Fixed positions: half of a row holds sines, half cosines, of wavelengths from 2π to 10000 · 2π. Vaswani et al. 2017,
 * arXiv:1706.03762, with the halves apart rather than interleaved, as the `ctrl` reference has them.
 */
export class SinusoidalPositions extends Module {
  readonly typeName = 'SinusoidalPositions';
  #table: Float32Array | undefined;

  constructor(
    readonly positions: number,
    readonly width: number,
  ) {
    super();
  }

  override extra(): string {
    return `${this.positions}, ${this.width}`;
  }

  override describe(): Part {
    return { part: 'position', kind: 'sinusoidal', theta: 10000 };
  }

  /** The reference keeps its table as a plain tensor. */
  override get isPrinted(): boolean {
    return false;
  }

  /** ids of positions `[…]` → `[…, width]`. */
  forward(positionIds: Tensor): Tensor {
    this.#table ??= this.#fillTable();
    return gatherRows(constant(this.#table, [this.positions, this.width]), positionIds);
  }

  #fillTable(): Float32Array {
    const { positions, width } = this;
    const table = new Float32Array(positions * width);
    const half = width / 2;
    for (let position = 0; position < positions; position++) {
      for (let i = 0; i < half; i++) {
        const rate = Math.fround(1 / Math.fround(10000 ** Math.fround((2 * i) / width)));
        const angle = Math.fround(position * rate);
        table[position * width + i] = Math.sin(angle);
        table[position * width + half + i] = Math.cos(angle);
      }
    }
    return table;
  }
}

/** Trained positions: a row of numbers for each, as in GPT-1 and GPT-2. */
export class LearnedPositions extends Embedding {
  override describe(): Part {
    return { part: 'position', kind: 'learned' };
  }
}
