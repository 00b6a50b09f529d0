import { RopewalkError } from '../errors.ts';

type Json = Readonly<Record<string, unknown>>;

/** A model's default sampling options; see `SamplingOptions`. */
export interface SamplingDefaults {
  readonly greedy?: boolean;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
}

/** The generation settings in a configuration. */
export interface GenerationSettings {
  /** Empty if it says nothing about sampling. */
  readonly sampling: SamplingDefaults;
  /** Settings that are not supported, each a sentence. */
  readonly warnings: readonly string[];
}

/** Sampling fields, which count only with `do_sample`, and the penalty, which always counts. */
const DRAWING = ['temperature', 'top_k', 'top_p', 'min_p'] as const;
const READ = ['do_sample', ...DRAWING, 'repetition_penalty'] as const;

/** The default `top_k` of transformers' `generate()` for a configuration that samples. */
const DEFAULT_TOP_K = 50;

const above = (limit: number) => (value: unknown) => typeof value === 'number' && value > limit;
const not = (neutral: number) => (value: unknown) => typeof value === 'number' && value !== neutral;
const below1 = (value: unknown) => typeof value === 'number' && value > 0 && value < 1;
const given = (value: unknown) => (Array.isArray(value) ? value.length > 0 : value !== false);

/** Features of transformers' `generate()` that Ropewalk lacks, and when a field requests them. */
const MISSING: Readonly<Record<string, (value: unknown) => boolean>> = {
  num_beams: above(1),
  num_beam_groups: above(1),
  penalty_alpha: above(0),
  no_repeat_ngram_size: above(0),
  encoder_no_repeat_ngram_size: above(0),
  encoder_repetition_penalty: not(1),
  diversity_penalty: not(0),
  presence_penalty: not(0),
  frequency_penalty: not(0),
  guidance_scale: not(1),
  min_length: above(0),
  min_new_tokens: above(0),
  bad_words_ids: given,
  sequence_bias: given,
  suppress_tokens: given,
  begin_suppress_tokens: given,
  forced_bos_token_id: given,
  forced_eos_token_id: given,
  exponential_decay_length_penalty: given,
  watermarking_config: given,
  stop_strings: given,
  constraints: given,
  force_words_ids: given,
  dola_layers: given,
};
/** The same for fields that count only with `do_sample`. */
const MISSING_DRAWING: typeof MISSING = {
  typical_p: below1,
  epsilon_cutoff: below1,
  eta_cutoff: below1,
  top_h: below1,
};

/**
 * The generation defaults in a `generation_config.json`, as transformers' `generate()` interprets them: `do_sample` is
 * false unless set, and a configuration that samples keeps the 50 most likely tokens unless it sets `top_k` (0 for
 * all). If it has no sampling fields, Ropewalk's own defaults apply.
 *
 * @param file its name in messages.
 * @throws RopewalkError naming a field with an invalid value.
 */
export function readGenerationConfig(config: Json, file: string): GenerationSettings {
  const has = (field: string) => config[field] !== undefined && config[field] !== null;
  const warnings: string[] = [];
  const draws = flag(config, 'do_sample', file);
  const missing = [MISSING, ...(draws ? [MISSING_DRAWING] : [])].flatMap((fields) =>
    Object.keys(fields).filter((field) => has(field) && fields[field]!(config[field])),
  );
  if (missing.length > 0) {
    warnings.push(
      `${file}: ${missing.join(', ')} ${missing.length > 1 ? 'are' : 'is'} not supported; text is generated without.`,
    );
  }
  if (!READ.some(has)) return { sampling: {}, warnings };
  const penalty = has('repetition_penalty')
    ? number(config, 'repetition_penalty', file, (p) => p > 0, 'a number above 0')
    : 1;
  const repetition = penalty === 1 ? {} : { repetitionPenalty: penalty };
  if (!draws) {
    const unused = DRAWING.filter((field) => has(field) && config[field] !== NEUTRAL[field]);
    if (!has('do_sample') && unused.length > 0) {
      warnings.push(
        `${file}: it has ${unused.join(', ')} and no "do_sample": true, so decoding is greedy, as in transformers; set it, or pass the options.`,
      );
    }
    return { sampling: { greedy: true, ...repetition }, warnings };
  }
  const temperature = has('temperature')
    ? number(config, 'temperature', file, (t) => t >= 0, 'a number of at least 0')
    : 1;
  if (temperature === 0) {
    warnings.push(`${file}: "temperature" is 0, so decoding is greedy.`);
    return { sampling: { greedy: true, ...repetition }, warnings };
  }
  const whole = (k: number) => Number.isInteger(k) && k >= 0;
  const topK = has('top_k')
    ? number(config, 'top_k', file, whole, 'a whole number of at least 0')
    : DEFAULT_TOP_K;
  const topP = has('top_p')
    ? number(config, 'top_p', file, (p) => p > 0 && p <= 1, 'above 0 and at most 1')
    : 1;
  const minP = has('min_p') ? number(config, 'min_p', file, (p) => p >= 0 && p <= 1, 'from 0 to 1') : 0;
  return {
    sampling: {
      greedy: false,
      temperature,
      ...(topK > 0 && { topK }),
      ...(topP < 1 && { topP }),
      ...(minP > 0 && { minP }),
      ...repetition,
    },
    warnings,
  };
}

/** Values that have no effect. */
const NEUTRAL: Readonly<Record<(typeof DRAWING)[number], unknown>> = {
  temperature: 1,
  top_k: 50,
  top_p: 1,
  min_p: 0,
};

function flag(config: Json, field: string, file: string): boolean {
  const value = config[field] ?? false;
  if (typeof value === 'boolean') return value;
  throw wrong(file, field, 'true or false', value);
}

function number(
  config: Json,
  field: string,
  file: string,
  fits: (value: number) => boolean,
  what: string,
): number {
  const value = config[field];
  if (typeof value === 'number' && Number.isFinite(value) && fits(value)) return value;
  throw wrong(file, field, what, value);
}

function wrong(file: string, field: string, what: string, value: unknown): RopewalkError {
  return new RopewalkError(
    `${file}: the field "${field}" must be ${what}, but is ${JSON.stringify(value)}; correct it, or remove it.`,
  );
}
