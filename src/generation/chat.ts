import { chatStopTokens, encodeChat } from '../chat/encode.ts';
import type { ChatMessage } from '../chat/messages.ts';
import { ChatTemplate } from '../chat/template.ts';
import { option, RopewalkError, said } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { KeyValueCache } from './cache/key-value-cache.ts';
import type { Decoder } from './decoder.ts';
import { generatePieces } from './generate-text.ts';
import { type TextEnd, type TextOptions, TextStream } from './text-stream.ts';

/** The default limit on the tokens of a reply. */
export const REPLY_TOKENS = 1024;

export interface ChatOptions extends Omit<TextOptions, 'maxTokens' | 'constraint' | 'seen'> {
  /** The most tokens of the reply; default 1024, and never more than the model's remaining positions. */
  readonly maxTokens?: number;
  /** JSON schemas of the tools that the assistant may call, for a template that supports them. */
  readonly tools?: readonly unknown[];
  /** Documents that the answer should refer to, for a template that supports them. */
  readonly documents?: readonly unknown[];
  /** Ids that end the reply; by default the tokenizer's eos and the template's end-of-turn token. */
  readonly stopTokens?: readonly number[];
  /** Keeps the cache for the next reply of the same conversation. One reply at a time may use it. */
  readonly memory?: ChatMemory;
}

/** A model, its tokenizer and its template. */
export interface ChatModel {
  readonly decoder: Decoder;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
}

/** Why a reply ended: a stop token or string, or no room for more. */
export type ReplyEnd = TextEnd;

/** The keys and values of a conversation, so that only new tokens run. */
export class ChatMemory {
  readonly cache: KeyValueCache;
  #ids: number[] = [];

  constructor(decoder: Decoder) {
    this.cache = decoder.newCache();
  }

  /**
   * Prepares for a sequence: drops what the cache holds beyond their common prefix (everything if a rolling cache
   * cannot be rewound).
   *
   * @param ids at least one.
   * @returns how many of the ids need not run; at most all but the last.
   */
  prepare(ids: readonly number[]): number {
    const { cache } = this;
    const most = Math.min(cache.position, ids.length - 1);
    let common = 0;
    while (common < most && this.#ids[common] === ids[common]) common++;
    if (!cache.canTruncate(common)) common = 0;
    if (cache.position > common) cache.truncate(common);
    this.#ids = [...ids];
    return common;
  }

  /** Adds a token that follows; it is in the cache once it has run. */
  push(id: number): void {
    this.#ids.push(id);
  }
}

/**
 * Generates the assistant's next message, piece by piece, in whole characters. Special tokens are left out.
 *
 * @returns why it ended.
 * @throws RopewalkError for messages that the template refuses, for a chat that fills the model's positions, and for
 *   JSON schemas like `generateText`.
 */
export async function* generateReply(
  { decoder, tokenizer, template }: ChatModel,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): AsyncGenerator<string, ReplyEnd> {
  const { prefixCache, maxTokens = REPLY_TOKENS } = options;
  if (prefixCache && options.memory)
    throw new RopewalkError(
      'a chat keeps its cache either in its memory or in a prefix cache; give only one of the two.',
    );
  const memory = prefixCache ? undefined : (options.memory ?? new ChatMemory(decoder));
  const { tools, documents } = options;
  const ids = encodeChat(tokenizer, template, messages, {
    addGenerationPrompt: true,
    ...(tools && { tools }),
    ...(documents && { documents }),
  });
  const room = decoder.model.maxPositions - ids.length;
  if (room < 1) {
    throw new RopewalkError(
      `the chat has ${ids.length} tokens, but the model has ${decoder.model.maxPositions} positions${decoder.model.beyondPositions}; shorten it or start a new one.`,
    );
  }
  const stopTokens = options.stopTokens ?? chatStopTokens(tokenizer, template);
  const known = memory?.prepare(ids) ?? 0;
  const settings = {
    ...options,
    stopTokens,
    maxTokens: Math.min(maxTokens, room),
    seen: ids.slice(0, known),
  };
  const stream = new TextStream(tokenizer, settings, { showsEnd: false });
  const pieces = generatePieces(decoder, ids.slice(known), stream, memory?.cache);
  try {
    for (;;) {
      const { done, value } = await pieces.next();
      if (done) return value;
      if (value.id !== undefined) memory?.push(value.id);
      if (value.text) yield value.text;
    }
  } finally {
    await pieces.return('stop');
  }
}

/**
 * Generates the assistant's next message, piece by piece, with the model's own chat template unless another is given.
 * Throws a RopewalkError if there is none, and for messages that the template refuses.
 */
export type ChatFunction = (
  messages: readonly ChatMessage[],
  options?: ChatOptions & { readonly template?: ChatTemplate },
) => AsyncGenerator<string, ReplyEnd>;

/**
 * The `chat` function of a loaded model.
 *
 * @param configured ids that end a text according to the model's configuration.
 * @param name of the model in messages.
 */
export function chatFunction(
  model: Omit<ChatModel, 'template'>,
  configured: readonly number[],
  name: string,
): ChatFunction {
  let own: ChatTemplate | undefined;
  return async function* chat(messages, options = {}) {
    if (!options.template) own ??= requireTemplate(model.tokenizer, name);
    const template = options.template ?? own!;
    const stopTokens = options.stopTokens ?? chatStopTokens(model.tokenizer, template, configured);
    return yield* generateReply({ ...model, template }, messages, { ...options, stopTokens });
  };
}

/** A tokenizer's own template. @throws RopewalkError naming the remedy if there is none. */
export function requireTemplate(tokenizer: Tokenizer, name: string): ChatTemplate {
  const template = ChatTemplate.fromConfig(tokenizer.config, `the chat template of ${name}`);
  if (template) return template;
  throw new RopewalkError(
    said`${name}: it has no chat template ("chat_template" in tokenizer_config.json, or chat_template.jinja); give one (${option('template')}), or use a model that was trained on chats.`,
  );
}
