import { renderChat } from '../../chat/encode.ts';
import type { ChatTemplate } from '../../chat/template.ts';
import { option, RopewalkError, said } from '../../errors.ts';
import type { Decoder } from '../../generation/decoder.ts';
import type { SamplingOptions } from '../../generation/sampler.ts';
import { JinjaError } from '../../jinja/errors.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import { dealt, type Piece } from '../../ranks/dealt.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { stripEnd } from '../python/text.ts';
import type { Turn } from '../tasks/messages.ts';
import { type GenerationJob, generationPortions, generations } from './generations.ts';
import { type Likelihood, type LikelihoodJob, likelihoods } from './likelihoods.ts';
import { Beginnings, likelihoodPortions } from './portions.ts';
import type { ModelAnswer, ModelRequest } from './requests.ts';
import { RequestTokens } from './tokens.ts';

/** A model that is ready to answer. */
export interface AnsweringModelParts {
  readonly decoder: Decoder;
  readonly tokenizer: Tokenizer;
  /** Ids that end a text. */
  readonly stopTokens: readonly number[];
  /** The sampling settings of the model's configuration. */
  readonly sampling: SamplingOptions;
  readonly template: ChatTemplate | undefined;
}

export interface AnswerOptions {
  /** The maximum number of sequences per run. */
  readonly batch: number;
  readonly signal?: AbortSignal | undefined;
  /** Processes that share the requests. Each of them makes the same call, and receives all answers. */
  readonly ranks?: Communicator | undefined;
}

/** An answer, with the index of its request. */
export interface Answered {
  readonly request: number;
  readonly answer: ModelAnswer;
}

type Result = Likelihood | { readonly job: number; readonly text: string };

/** The log-likelihoods of a request's windows. */
class RequestSum {
  readonly answer = { loglikelihood: 0, greedy: true };
  #left: number;

  constructor(windows: number) {
    this.#left = windows;
  }

  /** @returns whether it was the last one. */
  add({ loglikelihood, greedy }: Likelihood): boolean {
    this.answer.loglikelihood += loglikelihood;
    this.answer.greedy &&= greedy;
    return --this.#left === 0;
  }
}

/** Added to the end of a message to be continued, while it is rendered. */
const END_MARK = 'CONTINUE_FINAL_MESSAGE_TAG ';

/** Tokens whose predictions identify a model. */
const PROBE_LENGTH = 24;

/** Answers the requests of tasks like the harness's `hf` model. */
export class AnsweringModel {
  readonly #tokens: RequestTokens;

  /** @throws RopewalkError for a tokenizer without a token that begins or ends texts. */
  constructor(readonly parts: AnsweringModelParts) {
    this.#tokens = new RequestTokens(parts.tokenizer, parts.decoder.model.maxPositions);
  }

  /**
   * Answers requests, in any order. Invalid requests are reported before the model runs.
   *
   * @param nameOf a request's name in messages.
   */
  async *answer(
    requests: readonly ModelRequest[],
    options: AnswerOptions,
    nameOf: (request: number) => string,
  ): AsyncGenerator<Answered, void> {
    const scored: (LikelihoodJob & { request: number })[] = [];
    const written: (GenerationJob & { request: number })[] = [];
    const windows = new Map<number, number>();
    for (const [request, asked] of requests.entries()) {
      try {
        if (asked.kind === 'generate') written.push({ request, ...this.#prompt(asked) });
        else {
          const jobs = asked.kind === 'rolling' ? this.#tokens.windows(asked.text) : [this.#pair(asked)];
          windows.set(request, jobs.length);
          scored.push(...jobs.map((job) => ({ request, ...job })));
        }
      } catch (error) {
        if (!(error instanceof RopewalkError)) throw error;
        throw new RopewalkError(`${nameOf(request)}: ${error.message}`, { cause: error });
      }
    }
    for (const [request, count] of windows) {
      if (count === 0) yield { request, answer: { loglikelihood: 0, greedy: true } };
    }
    const pieces = [...this.#scoring(scored, options), ...this.#writing(written, options)];
    const sums = new Map<number, RequestSum>();
    for await (const result of dealt(pieces, options.ranks, options.signal)) {
      if ('text' in result) yield { request: written[result.job]!.request, answer: result.text };
      else {
        const { request } = scored[result.job]!;
        const sum = sums.get(request) ?? new RequestSum(windows.get(request)!);
        sums.set(request, sum);
        if (sum.add(result)) yield { request, answer: sum.answer };
      }
    }
  }

  #scoring(jobs: readonly LikelihoodJob[], { batch }: AnswerOptions): Piece<Result>[] {
    const { decoder } = this.parts;
    const beginnings = new Beginnings(decoder);
    return likelihoodPortions(jobs, batch).map(
      (portion) =>
        async function* (signal) {
          const cache = await beginnings.cacheOf(portion.beginning, signal);
          yield* likelihoods(decoder, jobs, portion, cache, { batch, signal });
        },
    );
  }

  #writing(jobs: readonly GenerationJob[], { batch }: AnswerOptions): Piece<Result>[] {
    const context = { ...this.parts, batch };
    return generationPortions(jobs, batch).map(
      (portion) => (signal) => generations(context, jobs, portion, signal),
    );
  }

  #pair({ context, continuation }: Extract<ModelRequest, { kind: 'loglikelihood' }>): LikelihoodJob {
    return this.#tokens.pair(context, continuation);
  }

  #prompt({ context, settings, repeat }: Extract<ModelRequest, { kind: 'generate' }>): GenerationJob {
    const room = this.#tokens.positions - settings.maxTokens;
    if (room < 1) {
      throw new RopewalkError(
        `${settings.maxTokens} new tokens do not fit into the model's ${this.#tokens.positions} positions; lower "max_gen_toks"`,
      );
    }
    const prompt = this.#tokens.encode(context).slice(-room);
    if (prompt.length === 0) throw new RopewalkError('the prompt is empty');
    return { prompt, settings, repeat };
  }

  /**
   * Turns as the model's chat template writes them. If the template refuses the system message, it is omitted.
   *
   * @param continues whether the text ends in the last turn, which the model continues.
   */
  render(turns: readonly Turn[], continues: boolean): string {
    const { tokenizer, template } = this.parts;
    if (!template) {
      throw new RopewalkError(
        said`the model has no chat template; evaluate it without one (omit ${option('chat')}).`,
      );
    }
    const messages = turns.map(({ role, content }, i) => {
      return { role, content: continues && i === turns.length - 1 ? content + END_MARK : content };
    });
    const write = (given: typeof messages) =>
      renderChat(tokenizer, template, given, { addGenerationPrompt: !continues }).text;
    let text: string;
    try {
      text = write(messages);
    } catch (error) {
      const refused = error instanceof RopewalkError && error.cause instanceof JinjaError;
      if (!refused || messages[0]?.role !== 'system') throw error;
      text = write(messages.filter(({ role }) => role !== 'system'));
    }
    return continues ? cutAtMark(text) : text;
  }

  /** Identifies this model, including its weights and precision. */
  async probe(): Promise<string> {
    const { decoder } = this.parts;
    const { vocab_size: vocab } = decoder.model.config;
    const length = Math.min(PROBE_LENGTH, decoder.model.maxPositions - 1);
    const ids = Array.from({ length: length + 1 }, (_, i) => (i * 7919 + 11) % vocab);
    const job = { context: ids.slice(0, 1), continuation: ids.slice(1) };
    let probe = '';
    const [portion] = likelihoodPortions([job], 1);
    for await (const { loglikelihood } of likelihoods(decoder, [job], portion!, decoder.newCache(), {
      batch: 1,
    })) {
      probe = `${vocab}:${decoder.model.maxPositions}:${loglikelihood.toPrecision(5)}`;
    }
    return probe;
  }
}

/** A rendered chat up to the end of its last message, cut like transformers' `continue_final_message`. */
function cutAtMark(text: string): string {
  const at = text.lastIndexOf(END_MARK.trim());
  if (at < 0) {
    throw new RopewalkError(
      'the chat template leaves out the beginning of the answer (gen_prefix), which then cannot be continued; evaluate without the template.',
    );
  }
  // A template that trims messages removes the mark's space, and the message's too.
  return text.startsWith(END_MARK, at) ? text.slice(0, at) : stripEnd(text.slice(0, at));
}
