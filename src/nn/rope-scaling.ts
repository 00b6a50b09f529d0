/** Scaling of rotary frequencies for contexts longer than the original, as in `rope_parameters` of config.json. */
export type RopeScaling = Llama3Scaling | LinearScaling | YarnScaling | DynamicScaling;

/** Llama 3.1 and 3.2: low frequencies are divided by the factor, high ones kept, those between blended. */
export interface Llama3Scaling {
  readonly rope_type: 'llama3';
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
}

/** Position interpolation: every frequency is divided by the factor. Chen et al. 2023, arXiv:2306.15595. */
export interface LinearScaling {
  readonly rope_type: 'linear';
  readonly factor: number;
}

/**
 * YaRN: pairs that rotate more than `beta_fast` times over the original length are kept, those that rotate less than
 * `beta_slow` times are divided by the factor, those between are blended; cos and sin are multiplied by
 * `attention_factor`. Peng et al. 2023, arXiv:2309.00071.
 */
export interface YarnScaling {
  readonly rope_type: 'yarn';
  readonly factor: number;
  readonly original_max_position_embeddings: number;
  readonly attention_factor: number;
  readonly beta_fast: number;
  readonly beta_slow: number;
  /** Whether the bounds of the blended pairs are rounded outward to whole pairs. */
  readonly truncate: boolean;
}

/**
 * "Dynamic NTK": sequences longer than the model's positions use a base that grows with their length. Within the
 * positions, which no model exceeds here, the frequencies are unchanged.
 */
export interface DynamicScaling {
  readonly rope_type: 'dynamic';
  readonly factor: number;
}

/** Radians per position for each pair of a head, in float32 as the reference computes them. */
export function rotaryFrequencies(headDim: number, theta: number, scaling: RopeScaling | null): Float32Array {
  const plain = Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const exponent = Math.fround((2 * i) / headDim);
    return 1 / Math.fround(theta ** exponent);
  });
  switch (scaling?.rope_type) {
    case undefined:
    case 'dynamic':
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / Math.fround(scaling.factor));
    case 'llama3':
      return plain.map((frequency) => rescaleRotary(frequency, scaling));
    case 'yarn':
      return yarnFrequencies(plain, headDim, theta, scaling);
  }
}

/** The factor of cos and sin. */
export function rotaryMagnitude(scaling: RopeScaling | null): number {
  return scaling?.rope_type === 'yarn' ? scaling.attention_factor : 1;
}

/** Llama 3.1's scaling of one frequency. */
export function rescaleRotary(frequency: number, scaling: Llama3Scaling): number {
  const {
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: original,
  } = scaling;
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < original / high) return frequency;
  if (wavelength > original / low) return frequency / factor;
  const smooth = (original / wavelength - low) / (high - low);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/** The attention factor of YaRN's authors, if a configuration has none: 0.1 · ln(factor) + 1. */
export function yarnMagnitude(factor: number, scale = 1): number {
  return factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
}

function yarnFrequencies(
  plain: Float32Array,
  headDim: number,
  theta: number,
  { factor, original_max_position_embeddings: original, beta_fast, beta_slow, truncate }: YarnScaling,
): Float32Array {
  // The pair that rotates this many times over the original length.
  const pairOf = (turns: number) =>
    (headDim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [first, last] = [pairOf(beta_fast), pairOf(beta_slow)];
  const low = Math.max(truncate ? Math.floor(first) : first, 0);
  const bound = Math.min(truncate ? Math.ceil(last) : last, headDim - 1);
  const high = bound === low ? bound + 0.001 : bound;
  return plain.map((frequency, i) => {
    const interpolated = Math.min(1, Math.max(0, Math.fround((i - low) / (high - low))));
    return (frequency / factor) * interpolated + frequency * (1 - interpolated);
  });
}
