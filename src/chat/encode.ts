import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { tokenContent } from '../tokenizer/tokenizer-schema.ts';
import type { ChatMessage } from './messages.ts';
import type { ChatTemplate, RenderedChat, RenderOptions } from './template.ts';

/** As {@link RenderOptions}, without the tokens, which the tokenizer knows. */
export type EncodeChatOptions = Pick<RenderOptions, 'addGenerationPrompt' | 'now'>;

/** Renders with the bos and eos of a tokenizer. */
export function renderChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: EncodeChatOptions = {},
): RenderedChat {
  const token = (field: string, id: number | undefined) =>
    tokenContent(tokenizer.config[field]) ?? (id === undefined ? undefined : tokenizer.idToToken(id)) ?? '';
  return template.render(messages, {
    ...options,
    bosToken: token('bos_token', tokenizer.bosId),
    eosToken: token('eos_token', tokenizer.eosId),
  });
}

/**
 * The ids of a chat. They are those of transformers' `apply_chat_template(tokenize=True)`, with two differences:
 * special tokens that messages spell are text, whatever the template does with them; and where the template leaves out
 * the bos that the tokenizer puts before every text, it is put there, so that there is exactly one.
 *
 * @throws RopewalkError for messages that are none or that the template refuses.
 */
export function encodeChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: EncodeChatOptions = {},
): number[] {
  const { text, contentSpans } = renderChat(tokenizer, template, messages, options);
  const ids = tokenizer.encode(text, { addSpecialTokens: false, plainSpans: contentSpans });
  const { before } = tokenizer.idsAround;
  const begins = before.length > 0 && before.every((id, i) => ids[i] === id);
  return begins ? ids : [...before, ...ids];
}

/**
 * Every id that ends the assistant's message: those of the model's own configuration, the tokenizer's eos, and the
 * special token that the template writes after what an assistant says (Gemma's `<end_of_turn>`).
 *
 * @param configured of generation_config.json or config.json.
 */
export function chatStopTokens(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  configured: readonly number[] = [],
): number[] {
  const stops = new Set(configured);
  if (tokenizer.eosId !== undefined) stops.add(tokenizer.eosId);
  const end = endOfTurn(tokenizer, template);
  if (end !== undefined) stops.add(end);
  return [...stops];
}

/** The special token after an assistant's content; undefined where there is none but white space. */
function endOfTurn(tokenizer: Tokenizer, template: ChatTemplate): number | undefined {
  const content = 'Yes';
  const answered: ChatMessage[] = [
    { role: 'user', content: 'No?' },
    { role: 'assistant', content },
  ];
  let rendered: RenderedChat;
  try {
    rendered = renderChat(tokenizer, template, answered);
  } catch (error) {
    if (error instanceof RopewalkError) return undefined; // it asks for more than this, and tells when it is used
    throw error;
  }
  const { text, contentSpans } = rendered;
  const span = contentSpans.findLast(([start, end]) => text.slice(start, end) === content);
  if (!span) return undefined;
  const [next] = tokenizer.encode(text.slice(span[1]).trimStart(), { addSpecialTokens: false });
  return next !== undefined && tokenizer.isSpecial(next) ? next : undefined;
}
