import { readFile } from 'node:fs/promises';
import { encodeChat } from '../../chat/encode.ts';
import { type ChatMessage, checkMessages } from '../../chat/messages.ts';
import { RopewalkError } from '../../errors.ts';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import { fileError } from '../../files/file-errors.ts';
import {
  ChatMemory,
  type ChatModel,
  type ChatOptions,
  generateReply,
  type ReplyEnd,
} from '../../generation/chat.ts';

type SessionOptions = Omit<ChatOptions, 'memory' | 'signal'>;

/** One conversation: its messages, and their keys and values. */
export class Conversation {
  #messages: ChatMessage[];
  readonly #memory: ChatMemory;

  readonly #model: ChatModel;
  readonly #options: SessionOptions;
  readonly #system: string | undefined;

  constructor(model: ChatModel, options: SessionOptions, system: string | undefined) {
    this.#model = model;
    this.#options = options;
    this.#system = system;
    this.#messages = this.#beginning();
    this.#memory = new ChatMemory(model.decoder);
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** Whether there are no messages. */
  get isEmpty(): boolean {
    return this.#messages.every(({ role }) => role === 'system');
  }

  /** Removes everything but the system message, or continues with other messages instead. */
  reset(messages: readonly ChatMessage[] = this.#beginning()): void {
    this.#messages = [...messages];
  }

  /** Whether the chat with another user message leaves room for a reply. */
  fits(content: string): boolean {
    const { decoder, tokenizer, template } = this.#model;
    const messages: ChatMessage[] = [...this.#messages, { role: 'user', content }];
    const ids = encodeChat(tokenizer, template, messages, { addGenerationPrompt: true });
    return ids.length < decoder.model.maxPositions;
  }

  /**
   * Answers a message. A reply that is stopped is kept so far; a message without any answer is removed, so that the
   * chat can continue.
   *
   * @param show receives the pieces of the reply.
   * @param signal stops the reply.
   */
  async reply(
    content: string,
    show: (piece: string) => void,
    signal: AbortSignal,
  ): Promise<ReplyEnd | 'stopped'> {
    const messages: ChatMessage[] = [...this.#messages, { role: 'user', content }];
    const { seed = 0 } = this.#options;
    const options = { ...this.#options, seed: seed + messages.length, memory: this.#memory, signal };
    let text = '';
    let ended = false;
    try {
      const reply = generateReply(this.#model, messages, options);
      for (;;) {
        const next = await reply.next();
        if (next.done) {
          ended = true;
          return next.value;
        }
        text += next.value;
        show(next.value);
        // The engine blocks the thread; a pressed key is handled here.
        await new Promise((resolve) => setImmediate(resolve));
        signal.throwIfAborted();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
      return 'stopped';
    } finally {
      if (ended || text !== '') this.#messages = [...messages, { role: 'assistant', content: text }];
    }
  }

  /** @throws RopewalkError if it cannot be written, or if the file exists and is not a chat. */
  async save(file: string): Promise<void> {
    const there = await readFile(file).then(
      () => true,
      () => false,
    );
    if (there) {
      await readChat(file).catch((error: unknown) => {
        throw new RopewalkError(`${file} exists and is not a saved chat; choose another file.`, {
          cause: error,
        });
      });
    }
    await writeFileAtomic(file, `${JSON.stringify({ messages: this.#messages }, null, 2)}\n`);
  }

  /** @throws RopewalkError if it cannot be read or is not a saved chat; the conversation is then unchanged. */
  async load(file: string): Promise<void> {
    this.#messages = [...(await readChat(file))];
  }

  #beginning(): ChatMessage[] {
    return this.#system === undefined ? [] : [{ role: 'system', content: this.#system }];
  }
}

/** Far more than any conversation that fits a model. */
const MAX_CHAT_BYTES = 64 * 2 ** 20;

async function readChat(file: string): Promise<readonly ChatMessage[]> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw fileError(error, 'read', file);
  }
  try {
    if (bytes.byteLength > MAX_CHAT_BYTES) throw new RopewalkError('it is too large');
    const parsed: unknown = JSON.parse(bytes.toString('utf8'));
    const { messages } = (parsed ?? {}) as { messages?: unknown };
    checkMessages(messages);
    return messages.map(({ role, content }) => ({ role, content }));
  } catch (error) {
    const why = (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
    throw new RopewalkError(`${file}: not a saved chat (${why}); /save writes one.`, { cause: error });
  }
}
