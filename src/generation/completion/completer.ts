import { onAbort } from '../../abort.ts';
import { chatStopTokens, encodeChat } from '../../chat/encode.ts';
import type { ChatTemplate } from '../../chat/template.ts';
import { RopewalkError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { PrefixCache } from '../cache/prefix-cache.ts';
import { requireTemplate } from '../chat.ts';
import { checkIds, type Decoder } from '../decoder.ts';
import { encodePrompt } from '../generate-text.ts';
import type { SamplingOptions } from '../sampler.ts';
import { withSamplingDefaults } from '../sampling-defaults.ts';
import type { CompletionEnd, CompletionOptions, CompletionPiece, CompletionPrompt } from './completion.ts';
import { Inbox } from './inbox.ts';
import { ReplySink } from './reply-sink.ts';
import { type Batching, Scheduler } from './scheduler.ts';
import { ToolConstraint, ToolGrammar } from './tool-constraint.ts';
import { type ToolForm, toolForm } from './tool-form.ts';

export interface CompleterParts {
  /** The model's name in messages. */
  readonly name: string;
  readonly decoder: Decoder;
  readonly tokenizer: Tokenizer;
  readonly stopTokens: readonly number[];
  readonly sampling: SamplingOptions;
  readonly prefixCache?: PrefixCache | undefined;
  readonly sequences?: number | undefined;
}

/** Completes texts and chats, many at once. Each gets the same tokens as if it ran alone. */
export class Completer {
  readonly #parts: CompleterParts;
  readonly #scheduler: Scheduler;
  #template: ChatTemplate | undefined;
  #form: ToolForm | undefined;

  constructor(parts: CompleterParts) {
    this.#parts = parts;
    const { decoder, prefixCache, sequences } = parts;
    this.#scheduler = new Scheduler(decoder, { prefixCache, ...(sequences !== undefined && { sequences }) });
  }

  get batching(): Batching {
    return this.#scheduler.batching;
  }

  /** Resolves when nothing is running. */
  idle(): Promise<void> {
    return this.#scheduler.idle();
  }

  /**
   * @returns pieces, `accepted` first; breaking off ends the completion.
   * @throws RopewalkError before the first piece if the request cannot be fulfilled.
   */
  async *complete(
    prompt: CompletionPrompt,
    options: CompletionOptions,
  ): AsyncGenerator<CompletionPiece, CompletionEnd> {
    const { signal: given } = options;
    given?.throwIfAborted();
    const controller = new AbortController();
    const { signal } = controller;
    const stopWaiting = onAbort(given, () => controller.abort(given?.reason));
    let ended = false;
    try {
      const inbox = new Inbox();
      const promptTokens = this.#start(prompt, { ...options, signal }, inbox);
      yield { type: 'accepted', promptTokens };
      const end = yield* inbox.read();
      ended = true;
      return end;
    } finally {
      stopWaiting();
      // Only if something is still running: references to an aborted signal survive minor collections.
      if (!ended) controller.abort();
    }
  }

  #start(prompt: CompletionPrompt, options: CompletionOptions, inbox: Inbox): number {
    const { decoder, tokenizer, sampling } = this.#parts;
    const isChat = 'messages' in prompt;
    if (options.tools && options.jsonSchema !== undefined) {
      throw new RopewalkError(
        'tools and a JSON schema of the answer cannot be combined; leave out one of them.',
      );
    }
    if (options.tools && !isChat) throw new RopewalkError('tools are for chats; give messages.');
    const { ids, stopTokens } = this.#encode(prompt, options);
    const { vocab_size: vocab } = decoder.model.config;
    checkIds(ids, vocab);
    for (const id of Object.keys(options.logitBias ?? {})) checkBias(Number(id), vocab);
    const room =
      Math.min(options.context ?? Number.POSITIVE_INFINITY, decoder.model.maxPositions) - ids.length;
    const { maxTokens = Math.max(room, 0) } = options;
    if (room < maxTokens || room < (options.maxTokens === undefined ? 1 : 0)) {
      const asked =
        options.maxTokens === undefined ? 'leave no room' : `and ${maxTokens} new ones do not fit`;
      throw new RopewalkError(
        `the prompt's ${ids.length} tokens ${asked} in the ${room + ids.length} tokens that are served${decoder.model.beyondPositions}; shorten the prompt or ask for fewer tokens.`,
      );
    }
    const tools = this.#tools(options, maxTokens);
    const settings = { ...withSamplingDefaults(sampling, options), maxTokens, stopTokens };
    const sink = new ReplySink({ tokenizer, prompt: ids, options: settings, isChat, tools, inbox });
    const { scores, scoresPrompt, client, signal } = options;
    const generation = sink.generation;
    this.#scheduler.add({ prompt: ids, options: generation, sink, scores, scoresPrompt, client, signal });
    return ids.length;
  }

  #encode(prompt: CompletionPrompt, { tools }: CompletionOptions) {
    const { decoder, tokenizer, stopTokens } = this.#parts;
    if ('ids' in prompt) return { ids: prompt.ids, stopTokens };
    if ('text' in prompt)
      return { ids: encodePrompt(tokenizer, prompt.text, decoder.model.config.bos_token_id), stopTokens };
    const template = this.#chatTemplate();
    const settings = { addGenerationPrompt: true, ...(tools && { tools }) };
    const ids = encodeChat(tokenizer, template, prompt.messages, settings);
    return { ids, stopTokens: chatStopTokens(tokenizer, template, stopTokens) };
  }

  #tools({ tools, toolChoice = 'auto', severalCalls = true }: CompletionOptions, maxTokens: number) {
    if (!tools) return undefined;
    const { tokenizer } = this.#parts;
    this.#form ??= toolForm(tokenizer, this.#chatTemplate());
    const grammar = new ToolGrammar(tokenizer, this.#form, tools, toolChoice);
    return { constraint: new ToolConstraint(grammar, maxTokens, severalCalls), marker: this.#form.marker };
  }

  #chatTemplate(): ChatTemplate {
    this.#template ??= requireTemplate(this.#parts.tokenizer, this.#parts.name);
    return this.#template;
  }
}

function checkBias(id: number, vocab: number): void {
  if (Number.isInteger(id) && id >= 0 && id < vocab) return;
  throw new RopewalkError(`the logit bias of token ${id} is outside the vocabulary of ${vocab}.`);
}
