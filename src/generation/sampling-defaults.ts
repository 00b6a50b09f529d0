import type { SamplingOptions } from './sampler.ts';

const DRAWING = ['temperature', 'topK', 'topP', 'minP'] as const;

/**
 * A caller's options over the defaults of a model's configuration. Each option overrides its default; a sampling
 * option makes a model sample that is greedy by default, and `greedy` makes one greedy that samples by default.
 */
export function withSamplingDefaults<T extends SamplingOptions>(defaults: SamplingOptions, options: T): T {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const draws = DRAWING.some((name) => given[name] !== undefined);
  const greedy = options.greedy ?? (draws ? false : defaults.greedy);
  return { ...defaults, ...given, ...(greedy !== undefined && { greedy }) } as T;
}

/** Sampling settings as the command line names them: `temperature 0.6, top-k 50`; `greedy` without sampling. */
export function samplingText({
  greedy,
  temperature = 1,
  topK,
  topP,
  minP,
  repetitionPenalty,
}: SamplingOptions): string {
  const drawing = [
    `temperature ${temperature}`,
    topK !== undefined && `top-k ${topK}`,
    topP !== undefined && `top-p ${topP}`,
    minP !== undefined && `min-p ${minP}`,
  ];
  const parts = [
    ...(greedy ? ['greedy'] : drawing),
    repetitionPenalty !== undefined && `repetition penalty ${repetitionPenalty}`,
  ];
  return parts.filter((part) => part !== false).join(', ');
}
