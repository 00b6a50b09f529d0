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

/** One conversation: what has been said, and the keys and values of it. */
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

  /** Whether anything has been said. */
  get isEmpty(): boolean {
    return this.#messages.every(({ role }) => role === 'system');
  }

  /** Forgets everything but the system message, or continues with other messages instead. */
  reset(messages: readonly ChatMessage[] = this.#beginning()): void {
    this.#messages = [...messages];
  }

  /** Whether the chat with one more message of the user's leaves room for a reply. */
  fits(content: string): boolean {
    const { decoder, tokenizer, template } = this.#model;
    const messages: ChatMessage[] = [...this.#messages, { role: 'user', content }];
    const ids = encodeChat(tokenizer, template, messages, { addGenerationPrompt: true });
    return ids.length < decoder.model.maxPositions;
  }

  /**
   * Answers a message. A reply that is stopped stays as far as it came; a message without any answer is taken back, so
   * that the chat can continue.
   *
   * @param show takes the pieces of the reply.
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
        // The engine never leaves the thread to others; a key that was pressed is seen here.
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

  /** @throws RopewalkError when it cannot be written, or when the file is there and is no chat. */
  async save(file: string): Promise<void> {
    const there = await readFile(file).then(
      () => true,
      () => false,
    );
    if (there) {
      await readChat(file).catch((error: unknown) => {
        throw new RopewalkError(`${file} is there and is no saved chat; name another file.`, {
          cause: error,
        });
      });
    }
    await writeFileAtomic(file, `${JSON.stringify({ messages: this.#messages }, null, 2)}\n`);
  }

  /** @throws RopewalkError when it cannot be read or is no saved chat; this one then stays as it was. */
  async load(file: string): Promise<void> {
    this.#messages = [...(await readChat(file))];
  }

  #beginning(): ChatMessage[] {
    return this.#system === undefined ? [] : [{ role: 'system', content: this.#system }];
  }
}

/** Far more than a conversation that a model can hold. */
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
