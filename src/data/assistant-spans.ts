import { type EncodeChatOptions, renderChat } from '../chat/encode.ts';
import type { ChatMessage } from '../chat/messages.ts';
import type { ChatTemplate, RenderedChat } from '../chat/template.ts';
import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/** Where an assistant's message lies in the text of a chat (UTF-16). */
export interface AssistantSpan {
  /** Where what begins the assistant's turn ends, and the model takes over. */
  readonly start: number;
  /** Where what the assistant says ends. */
  readonly contentEnd: number;
  /** Where the message with all that the template writes after it ends; undefined where that is not known. */
  readonly end?: number;
}

/**
 * Finds what the model has to write itself. The text of a chat up to an assistant's message, with what begins its turn,
 * is what the model is given when it answers, so the message begins where that ends; and it ends where the text up to and
 * with this message does. Templates that write history in another way than the present (leaving out what the assistant
 * thought, say) have no such beginnings: there the content itself is looked for.
 *
 * @param rendered the chat by the template.
 * @param from the first message that is looked at.
 * @throws RopewalkError when a message is found by neither way.
 */
export function assistantSpans(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  rendered: RenderedChat,
  { from = 0, ...options }: EncodeChatOptions & { readonly from?: number } = {},
): AssistantSpan[] {
  const spans: AssistantSpan[] = [];
  let labels: ReadonlyMap<number, readonly [number, number]> | undefined;
  for (let i = from; i < messages.length; i++) {
    if (messages[i]!.role !== 'assistant') continue;
    const bounds = boundsByPrefix(tokenizer, template, messages, i, rendered, options);
    if (bounds) {
      const inside = rendered.contentSpans.filter(([start, end]) => start < bounds.end && end > bounds.start);
      const contentEnd = Math.min(bounds.end, inside.at(-1)?.[1] ?? bounds.start);
      spans.push({ ...bounds, contentEnd });
      continue;
    }
    labels ??= labelSpans(messages, rendered);
    const content = labels.get(i);
    if (!content) {
      throw new RopewalkError(
        `${template.name} writes message ${i + 1} in a way in which the assistant's words are not found again; train on all tokens, or take another template`,
      );
    }
    spans.push({ start: content[0], contentEnd: content[1] });
  }
  return spans;
}

function boundsByPrefix(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  i: number,
  { text }: RenderedChat,
  options: EncodeChatOptions,
): { start: number; end: number } | undefined {
  if (i === 0) return undefined;
  try {
    const render = (count: number, addGenerationPrompt: boolean) =>
      renderChat(tokenizer, template, messages.slice(0, count), { ...options, addGenerationPrompt }).text;
    const whole = i + 1 === messages.length ? text : render(i + 1, false);
    const given = render(i, true);
    if (!text.startsWith(whole) || !whole.startsWith(given)) return undefined;
    return { start: given.length, end: whole.length };
  } catch (error) {
    // Some templates refuse a part of a chat that they take as a whole.
    if (error instanceof RopewalkError) return undefined;
    throw error;
  }
}

/** Says of which message each span of content is; from the first span of a message to the last. */
function labelSpans(
  messages: readonly ChatMessage[],
  { text, contentSpans }: RenderedChat,
): ReadonlyMap<number, readonly [number, number]> {
  const found = new Map<number, readonly [number, number]>();
  let current = -1;
  for (const [start, end] of contentSpans) {
    const words = text.slice(start, end);
    const isWhole = ({ content }: ChatMessage) => content === words || content.trim() === words.trim();
    const after = (fits: (message: ChatMessage) => boolean) =>
      messages.findIndex((message, i) => i > current && fits(message));
    const part = ({ content }: ChatMessage) => content.includes(words);
    let owner = after(isWhole);
    if (owner < 0 && current >= 0 && part(messages[current]!)) owner = current;
    if (owner < 0) owner = after(part);
    if (owner < 0) return new Map();
    found.set(owner, [found.get(owner)?.[0] ?? start, end]);
    current = owner;
  }
  return found;
}
