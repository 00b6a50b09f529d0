import { renderChat } from '../../chat/encode.ts';
import type { ChatTemplate } from '../../chat/template.ts';
import { option, RopewalkError, said } from '../../errors.ts';
import type { Decoder } from '../../generation/decoder.ts';
import type { SamplingOptions } from '../../generation/sampler.ts';
import { JinjaError } from '../../jinja/errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { stripEnd } from '../python/text.ts';
import type { Turn } from '../tasks/messages.ts';
import { type GenerationJob, generations } from './generations.ts';
import { type LikelihoodJob, likelihoods } from './likelihoods.ts';
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
}

/** An answer, with the index of its request. */
export interface Answered {
  readonly request: number;
  readonly answer: ModelAnswer;
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
    yield* this.#scores(scored, windows, options);
    const context = { ...this.parts, ...options };
    for await (const { job, text } of generations(context, written)) {
      yield { request: written[job]!.request, answer: text };
    }
  }

  async *#scores(
    jobs: readonly (LikelihoodJob & { request: number })[],
    windows: ReadonlyMap<number, number>,
    options: AnswerOptions,
  ): AsyncGenerator<Answered, void> {
    const open = new Map<number, { left: number; loglikelihood: number; greedy: boolean }>();
    for await (const { job, loglikelihood, greedy } of likelihoods(this.parts.decoder, jobs, options)) {
      const { request } = jobs[job]!;
      const sum = open.get(request) ?? { left: windows.get(request)!, loglikelihood: 0, greedy: true };
      sum.left--;
      sum.loglikelihood += loglikelihood;
      sum.greedy &&= greedy;
      open.set(request, sum);
      if (sum.left > 0) continue;
      open.delete(request);
      yield { request, answer: { loglikelihood: sum.loglikelihood, greedy: sum.greedy } };
    }
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
    for await (const { loglikelihood } of likelihoods(decoder, [job], { batch: 1 })) {
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
