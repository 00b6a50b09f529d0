import { GenerationBatch } from '../../generation/batch.ts';
import { PrefixCache } from '../../generation/cache/prefix-cache.ts';
import type { Decoder } from '../../generation/decoder.ts';
import { type GenerationOptions, generateTokens } from '../../generation/generate.ts';
import type { SamplingOptions } from '../../generation/sampler.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { GenerationSettings } from '../tasks/generation-settings.ts';

/** A prompt to continue. */
export interface GenerationJob {
  readonly prompt: readonly number[];
  readonly settings: GenerationSettings;
  /** The number of this draw, of several. */
  readonly repeat: number;
}

export interface GenerationContext {
  readonly decoder: Decoder;
  readonly tokenizer: Tokenizer;
  /** Ids that end a text. */
  readonly stopTokens: readonly number[];
  /** The sampling settings of the model's configuration. */
  readonly sampling: SamplingOptions;
  /** The maximum number of texts per run. */
  readonly batch: number;
}

/** Portions that a list of prompts is cut into, if it is neither short nor long. */
const PORTIONS = 8;

/** A stop text is searched for in this many tokens more than it has: a model may spell it in others. */
const LOOK_BACK = 2;
const SEED = 1234;

/**
 * Cuts jobs into portions, the longest prompts first. The texts of a portion depend on nothing else, down to the last bit.
 *
 * @param batch texts per run: the last run of a portion may have fewer, so a portion is worth several.
 * @returns indices of jobs.
 */
export function generationPortions(jobs: readonly GenerationJob[], batch: number): number[][] {
  const order = jobs.map((_, i) => i).sort((a, b) => jobs[b]!.prompt.length - jobs[a]!.prompt.length);
  const size = Math.min(8 * batch, Math.max(2 * batch, Math.ceil(jobs.length / PORTIONS)));
  return Array.from({ length: Math.ceil(order.length / size) }, (_, i) =>
    order.slice(i * size, (i + 1) * size),
  );
}

/** Continues the prompts of a portion, several at once. A common prefix runs once. */
export async function* generations(
  context: GenerationContext,
  jobs: readonly GenerationJob[],
  portion: readonly number[],
  signal: AbortSignal | undefined,
): AsyncGenerator<{ readonly job: number; readonly text: string }, void> {
  const { decoder, batch } = context;
  const prefixCache = new PrefixCache(decoder);
  const optionsOf = (job: GenerationJob): GenerationOptions => ({
    ...samplingOf(job, context),
    maxTokens: job.settings.maxTokens,
    stopTokens: context.stopTokens,
    prefixCache,
    ...(signal && { signal }),
  });
  if (!decoder.runsBatches || batch < 2) {
    for (const job of portion) {
      const text = new GeneratedText(jobs[job]!.settings, context);
      for await (const id of generateTokens(decoder, jobs[job]!.prompt, optionsOf(jobs[job]!))) {
        if (text.push(id)) break;
      }
      yield { job, text: text.result() };
    }
    return;
  }
  const running = new GenerationBatch(decoder, { sequences: batch });
  const texts = new Map<number, { job: number; text: GeneratedText }>();
  const queue = [...portion];
  while (queue.length > 0 || texts.size > 0) {
    while (queue.length > 0 && texts.size < batch) {
      const job = queue.shift()!;
      const sequence = running.add(jobs[job]!.prompt, optionsOf(jobs[job]!));
      texts.set(sequence, { job, text: new GeneratedText(jobs[job]!.settings, context) });
    }
    for (const { sequence, id } of await running.step()) {
      const one = texts.get(sequence)!;
      if (!one.text.push(id)) continue;
      running.end(sequence);
      texts.delete(sequence);
      yield { job: one.job, text: one.text.result() };
    }
  }
}

function samplingOf({ settings, repeat }: GenerationJob, { sampling }: GenerationContext): SamplingOptions {
  if (!settings.draws) return { ...sampling, greedy: true };
  return {
    ...sampling,
    greedy: false,
    temperature: settings.temperature,
    ...(settings.topP !== undefined && { topP: settings.topP }),
    ...(settings.topK !== undefined && settings.topK > 0 && { topK: settings.topK }),
    seed: SEED + repeat,
  };
}

/** A text that grows token by token, and where it ends. */
class GeneratedText {
  readonly #ids: number[] = [];
  readonly #stops: readonly { readonly text: string; readonly tokens: number }[];

  constructor(
    readonly settings: GenerationSettings,
    readonly context: GenerationContext,
  ) {
    const { tokenizer } = context;
    const end = tokenizer.eosId === undefined ? [] : [tokenizer.decode([tokenizer.eosId])];
    this.#stops = [...new Set([...settings.until, ...end])]
      .filter((text) => text !== '')
      .map((text) => ({
        text,
        tokens: tokenizer.encode(text, { addSpecialTokens: false }).length + LOOK_BACK,
      }));
  }

  /** @returns whether the text is complete. */
  push(id: number): boolean {
    const { tokenizer, stopTokens } = this.context;
    this.#ids.push(id);
    if (stopTokens.includes(id) || this.#ids.length >= this.settings.maxTokens) return true;
    return this.#stops.some(({ text, tokens }) => tokenizer.decode(this.#ids.slice(-tokens)).includes(text));
  }

  /** The text before the first stop text. */
  result(): string {
    let result = this.context.tokenizer.decode(this.#ids, { skipSpecialTokens: true });
    for (const { text } of this.#stops) {
      const at = result.indexOf(text);
      if (at >= 0) result = result.slice(0, at);
    }
    return result;
  }
}
