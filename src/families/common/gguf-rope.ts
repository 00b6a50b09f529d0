import { type Llama3Scaling, type RopeScaling, rescaleRotary, yarnMagnitude } from '../../nn/rope-scaling.ts';
import type { GgufReader, GgufSetting, RefuseGguf } from './gguf.ts';
import type { RopeConfig } from './rope-config.ts';

/** YaRN's bounds in llama.cpp, which reads others only from files of other architectures. */
const YARN_BOUNDS = { beta_fast: 32, beta_slow: 1 } as const;

/**
 * The metadata of a scaling; the inverse of {@link readGgufScaling}. llama3 is a tensor; dynamic changes nothing
 * within the positions.
 */
export function ggufScaling(scaling: RopeScaling | null, refused: RefuseGguf): GgufSetting[] {
  if (!scaling || scaling.rope_type === 'llama3' || scaling.rope_type === 'dynamic') return [];
  const { rope_type: type, factor } = scaling;
  const settings: GgufSetting[] = [
    ['rope.scaling.type', 'string', type],
    ['rope.scaling.factor', 'f32', factor],
  ];
  if (type === 'linear') return settings;
  if (!scaling.truncate) throw refused('its YaRN scaling does not round its bounds ("truncate" is false)');
  const { beta_fast, beta_slow } = YARN_BOUNDS;
  if (scaling.beta_fast !== beta_fast || scaling.beta_slow !== beta_slow)
    throw refused(
      `its YaRN scaling has the bounds "beta_fast" ${scaling.beta_fast} and "beta_slow" ${scaling.beta_slow}, not ${beta_fast} and ${beta_slow}`,
    );
  settings.push(['rope.scaling.original_context_length', 'u32', scaling.original_max_position_embeddings]);
  const attention = scaling.attention_factor / yarnMagnitude(factor);
  if (Math.abs(attention - 1) > 1e-6) settings.push(['rope.scaling.attn_factor', 'f32', attention]);
  return settings;
}

/**
 * The contents of `rope_freqs.weight`: the divisor of each rotary frequency, `[head_dim / 2]`; undefined without
 * scaling.
 */
export function rotaryDivisors(config: RopeConfig & { readonly head_dim: number }): Float32Array | undefined {
  const { rope_scaling: scaling, rope_theta: theta, head_dim: size } = config;
  if (scaling?.rope_type !== 'llama3') return undefined;
  return Float32Array.from({ length: size / 2 }, (_, i) => {
    const frequency = theta ** (-(2 * i) / size);
    return frequency / rescaleRotary(frequency, scaling);
  });
}

/**
 * The scaling by its type. As in llama.cpp, a factor without a type (also that of the old key `rope.scale_linear`) is
 * linear, and a factor of 0 means none.
 */
export function readGgufScaling(file: GgufReader, headDim: number): RopeScaling | null {
  const type = file.text('rope.scaling.type', 'linear');
  if (type !== 'none' && type !== 'linear' && type !== 'yarn') {
    throw file.error(
      `the RoPE scaling type ${JSON.stringify(type.slice(0, 200))} is not supported; run the file with llama.cpp.`,
    );
  }
  const llama3 = readDivisors(file, headDim);
  const old = file.number('rope.scale_linear', 0);
  const factor = type === 'none' ? 1 : file.number('rope.scaling.factor', old) || 1;
  if (factor < 0) throw file.error(`its RoPE scaling factor is ${factor}; it must be above 0.`);
  if (type === 'yarn') {
    if (llama3) throw file.error('it has both YaRN and rope_freqs.weight, which is not supported.');
    return readYarn(file, factor);
  }
  if (file.number('rope.scaling.attn_factor', 1) !== 1)
    throw file.error(
      '"rope.scaling.attn_factor" without YaRN is not supported; run the file with llama.cpp.',
    );
  if (factor === 1) return llama3;
  if (llama3) {
    throw file.error(
      `it divides frequencies both by ${factor} and by rope_freqs.weight, which is not supported.`,
    );
  }
  return { rope_type: 'linear', factor };
}

/** llama.cpp multiplies cos and sin by 0.1 · ln(factor) + 1 and by the attention factor. */
function readYarn(file: GgufReader, factor: number): RopeScaling {
  for (const key of ['yarn_log_multiplier', 'yarn_ext_factor', 'yarn_attn_factor']) {
    if (file.has(`rope.scaling.${key}`))
      throw file.error(`"rope.scaling.${key}" is not supported; run the file with llama.cpp.`);
  }
  for (const [name, bound] of Object.entries(YARN_BOUNDS)) {
    const own = file.number(`rope.scaling.yarn_${name}`, bound);
    if (own !== bound)
      file.warn(
        `"rope.scaling.yarn_${name}" is ${own}; ${bound} is used instead, as in llama.cpp, which ignores this key for this architecture.`,
      );
  }
  return {
    ...{ rope_type: 'yarn', factor },
    original_max_position_embeddings: file.count(
      'rope.scaling.original_context_length',
      file.count('context_length'),
    ),
    attention_factor: yarnMagnitude(factor) * file.number('rope.scaling.attn_factor', 1),
    ...YARN_BOUNDS,
    truncate: true,
  };
}

/** Llama 3.1's scaling, which GGUF stores as a divisor for each frequency. */
function readDivisors(file: GgufReader, size: number): Llama3Scaling | null {
  const { rotaryDivisors } = file;
  if (!rotaryDivisors || rotaryDivisors.every((divisor) => divisor === 1)) return null;
  const theta = file.number('rope.freq_base', 10000);
  const frequencies = Array.from({ length: size / 2 }, (_, i) => theta ** (-(2 * i) / size));
  const scaling = rotaryDivisors.length === size / 2 && scalingOf(frequencies, rotaryDivisors);
  if (!scaling) {
    throw file.error(
      'its rope_freqs.weight is not the rescaling of Llama 3.1; other scalings are not supported.',
    );
  }
  return scaling;
}

/**
 * The scaling with these divisors; undefined if there is none. The lowest frequencies are divided by the factor, the
 * highest by 1, and those between are blended linearly in the frequency. The blend determines two of the other three
 * numbers, of which only the ratios matter: low_freq_factor is 1, as in all published models.
 */
export function scalingOf(
  frequencies: readonly number[],
  divisors: ArrayLike<number>,
): Llama3Scaling | undefined {
  const factor = shortDecimal(Array.from(divisors).reduce((most, divisor) => Math.max(most, divisor), 0));
  // The share of a frequency that is kept: (original · frequency / 2π − low) / (high − low).
  const points = frequencies.map((frequency, i) => ({
    frequency,
    kept: (1 / divisors[i]! - 1 / factor) / (1 - 1 / factor),
  }));
  const [fastest, ...others] = points.filter(({ kept }) => kept > 1e-6 && kept < 1 - 1e-6);
  const slowest = others.at(-1);
  const candidates: { high: number; original: number }[] = [];
  if (fastest) {
    candidates.push({ high: 4, original: (2 * Math.PI * (1 + 3 * fastest.kept)) / fastest.frequency });
  }
  if (fastest && slowest) {
    const slope = (fastest.kept - slowest.kept) / (fastest.frequency - slowest.frequency);
    const high = 1 + 1 / (slope * fastest.frequency - fastest.kept);
    candidates.push({ high, original: 2 * Math.PI * slope * (high - 1) });
  }
  if (!fastest) {
    // Nothing is blended: any length between the last frequency that is kept and the first that is not.
    const wave = (index: number) => (2 * Math.PI) / (frequencies[index] ?? Number.POSITIVE_INFINITY);
    const first = points.findIndex(({ kept }) => kept < 0.5);
    candidates.push({ high: 4, original: Math.max(1, (4 * wave(first - 1) + wave(first)) / 2) });
  }
  // Published numbers are short decimals; others are used unrounded.
  const forms = [shortDecimal, (value: number) => value];
  for (const [{ high, original }, form] of candidates.flatMap((c) => forms.map((f) => [c, f] as const))) {
    const whole = Math.round(original);
    const scaling = {
      rope_type: 'llama3',
      factor,
      low_freq_factor: form(whole / original),
      high_freq_factor: form((high * whole) / original),
      original_max_position_embeddings: whole,
    } as const;
    const fits = frequencies.every(
      (frequency, i) => Math.abs(frequency / rescaleRotary(frequency, scaling) / divisors[i]! - 1) < 1e-5,
    );
    if (whole >= 1 && high > 1 && fits) return scaling;
  }
  return undefined;
}

function shortDecimal(value: number): number {
  return Number(value.toPrecision(5));
}
