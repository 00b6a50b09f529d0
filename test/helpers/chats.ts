import { encodeChat, renderChat } from '../../src/chat/encode.ts';
import type { ChatMessage } from '../../src/chat/messages.ts';
import { ChatTemplate } from '../../src/chat/template.ts';
import { encodeExample } from '../../src/data/encode-example.ts';
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts';

/** What test/reference/make_chats.py writes. */
export interface ChatsReference {
  readonly tokenizer: unknown;
  /** As published, and with `{% generation %}`. */
  readonly templates: Readonly<Record<string, readonly [plain: string, generation: string]>>;
  readonly chats: readonly (readonly ChatMessage[])[];
  readonly cases: readonly ChatCase[];
}

export interface ChatCase {
  readonly template: string;
  readonly chat: number;
  readonly refusal?: string;
  readonly text?: string;
  /** What the generation prompt adds, or the whole text where it changes more. */
  readonly prompted?: string;
  readonly ids?: readonly number[];
  /** Where runs of trained tokens begin and end. */
  readonly trained?: readonly number[];
}

/** Checks cases of a reference; each problem is a line that says what differs. */
export class ChatChecker {
  readonly #tokenizer: Tokenizer;
  readonly #templates = new Map<string, readonly [ChatTemplate, ChatTemplate]>();

  constructor(readonly reference: ChatsReference) {
    this.#tokenizer = Tokenizer.fromJSON(reference.tokenizer, { bos_token: '<bos>', eos_token: '<eos>' });
    for (const [name, [plain, generation]] of Object.entries(reference.templates)) {
      this.#templates.set(name, [new ChatTemplate(plain, name), new ChatTemplate(generation, name)]);
    }
  }

  problems(one: ChatCase): string[] {
    const [plain, generation] = this.#templates.get(one.template)!;
    // The first token of all is never trained: nothing predicts it.
    const trained = one.trained?.[0] === 0 ? [1, ...one.trained.slice(1)] : one.trained;
    const messages = this.reference.chats[one.chat]!;
    const found: string[] = [];
    const expect = (what: string, actual: unknown, right: unknown) => {
      const [a, b] = [JSON.stringify(actual), JSON.stringify(right)];
      if (a !== b)
        found.push(`${one.template}, chat ${one.chat}: ${what}: ${a}, not ${b}: ${JSON.stringify(messages)}`);
    };
    if (one.refusal !== undefined) {
      let message = 'nothing';
      try {
        renderChat(this.#tokenizer, plain, messages);
      } catch (error) {
        message = (error as Error).message;
      }
      expect('refusal', message.includes(one.refusal), true);
      return found;
    }
    const text = renderChat(this.#tokenizer, plain, messages).text;
    const prompted = renderChat(this.#tokenizer, plain, messages, { addGenerationPrompt: true }).text;
    expect('text', text, one.text);
    expect('prompt', prompted.startsWith(text) ? prompted.slice(text.length) : prompted, one.prompted);
    expect('ids', encodeChat(this.#tokenizer, plain, messages), one.ids);
    for (const template of [plain, generation]) {
      const options = { tokenizer: this.#tokenizer, template, trainOn: 'assistant' } as const;
      const example = encodeExample({ messages, from: 0 }, options);
      expect('ids of an example', [...example.ids], one.ids);
      expect(template === plain ? 'mask' : 'mask of {% generation %}', runsOf(example.trained), trained);
    }
    return found;
  }
}

function runsOf(trained: Uint8Array): number[] {
  const runs: number[] = [];
  let last = 0;
  for (const [i, one] of [...trained, 0].entries()) {
    if (one !== last) runs.push(i);
    last = one;
  }
  return runs;
}
