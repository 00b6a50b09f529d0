import type { FieldReader } from './field-reader.ts';

/** How a text is continued, from the harness's `generation_kwargs`. */
export interface GenerationSettings {
  /** The text ends before the first of these. */
  readonly until: readonly string[];
  readonly maxTokens: number;
  /** Whether tokens are sampled, rather than the most likely ones taken. */
  readonly draws: boolean;
  readonly temperature: number;
  readonly topP: number | undefined;
  readonly topK: number | undefined;
}

const DEFAULT_TOKENS = 256;
/** By priority. */
const LENGTHS = ['max_gen_toks', 'max_new_tokens', 'max_tokens', 'max_completion_tokens'];

/** @throws RopewalkError for settings that would change the text and are not supported. */
export function readGeneration(fields: FieldReader, fewshotDelimiter: string): GenerationSettings {
  const own = fields.within('generation_kwargs');
  const lengths = LENGTHS.map((name) => own?.count(name));
  const temperature = own?.number('temperature') ?? 0;
  const doSample = own?.flag('do_sample');
  const settings: GenerationSettings = {
    until: own ? untilOf(own, fewshotDelimiter) : [fewshotDelimiter],
    maxTokens: lengths.find((length) => length !== undefined) ?? DEFAULT_TOKENS,
    draws: doSample ?? temperature > 0,
    temperature,
    topP: own?.number('top_p'),
    topK: own?.count('top_k'),
  };
  if (settings.draws && temperature === 0) {
    own!.refuse('do_sample', 'drawing needs a "temperature" above 0; set one, or "do_sample: false"');
  }
  if (own?.has('num_beams') && own.count('num_beams') !== 1)
    own.refuse('num_beams', 'beam search is not supported');
  own?.end([]);
  return settings;
}

function untilOf(own: FieldReader, fewshotDelimiter: string): readonly string[] {
  if (!own.has('until')) return [fewshotDelimiter];
  const value = own.value('until');
  if (typeof value === 'string') return [value];
  const list = own.list('until')!;
  if (!list.every((one) => typeof one === 'string')) own.refuse('until', 'it must be a list of texts');
  return list as string[];
}
