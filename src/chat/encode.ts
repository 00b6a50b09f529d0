import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { tokenContent } from '../tokenizer/tokenizer-schema.ts';
import { headOf } from './assistant-turns.ts';
import type { ChatMessage } from './messages.ts';
import type { RenderedChat } from './rendered.ts';
import type { ChatTemplate, RenderOptions } from './template.ts';

/** {@link RenderOptions} without the tokens, which come from the tokenizer. */
export type EncodeChatOptions = Omit<RenderOptions, 'bosToken' | 'eosToken' | 'otherTokens'>;

const OTHER_TOKENS = ['unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/** Renders with the special tokens of a tokenizer. */
export function renderChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: EncodeChatOptions = {},
): RenderedChat {
  const token = (field: string, id: number | undefined) =>
    tokenContent(tokenizer.config[field]) ?? (id === undefined ? undefined : tokenizer.idToToken(id));
  const [bosToken, eosToken] = [token('bos_token', tokenizer.bosId), token('eos_token', tokenizer.eosId)];
  const others = OTHER_TOKENS.flatMap((field) => {
    const content = tokenContent(tokenizer.config[field]);
    return content === undefined ? [] : [[field, content] as const];
  });
  return template.render(messages, {
    ...options,
    ...(bosToken !== undefined && { bosToken }),
    ...(eosToken !== undefined && { eosToken }),
    otherTokens: Object.fromEntries(others),
  });
}

/** Where a template's turns begin and end. */
export interface TurnFrame {
  /**
   * The text before the assistant's words, which the model is given: the generation prompt or, without one, the text
   * before a plain answer. Undefined if neither is known.
   */
  readonly header: string | undefined;
  /** The special token after the assistant's words; undefined if only white space follows. */
  readonly end: number | undefined;
}

const frames = new WeakMap<ChatTemplate, WeakMap<Tokenizer, TurnFrame>>();

/**
 * How a template frames the assistant's words, found by rendering short chats.
 *
 * @param messages used if it refuses these, with their tools and documents.
 */
export function turnFrame(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[] = [],
  given: Pick<EncodeChatOptions, 'tools' | 'documents'> = {},
): TurnFrame {
  const known = frames.get(template)?.get(tokenizer);
  if (known) return known;
  const asked: ChatMessage[] = [{ role: 'user', content: 'No?' }];
  const answered: ChatMessage[] = [...asked, { role: 'assistant', content: 'Yes' }];
  const prompt = promptAfter(tokenizer, template, asked);
  const rendered = whereTaken(() => renderChat(tokenizer, template, answered));
  const end = rendered && endOfTurn(tokenizer, rendered, answered.length - 1);
  if (prompt === undefined && messages.length > 0) {
    return { header: promptAfter(tokenizer, template, messages, given) || undefined, end };
  }
  const frame = { header: prompt || (rendered && headOf(rendered, answered.length - 1)), end };
  if (!frames.has(template)) frames.set(template, new WeakMap());
  frames.get(template)!.set(tokenizer, frame);
  return frame;
}

/** The generation prompt after messages; undefined if the template refuses them. */
function promptAfter(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: EncodeChatOptions = {},
): string | undefined {
  const now = new Date();
  const render = (addGenerationPrompt: boolean) =>
    whereTaken(() => renderChat(tokenizer, template, messages, { ...options, now, addGenerationPrompt }));
  const [without, given] = [render(false), render(true)];
  if (!without || !given) return undefined;
  if (given.text.startsWith(without.text)) return given.text.slice(without.text.length);
  // Without a prompt, the template writes something else.
  let common = 0;
  while (common < without.text.length && without.text[common] === given.text[common]) common++;
  const turn = given.turns.find(({ message }) => message === messages.length - 1);
  return given.text.slice(turn && turn.end <= common ? turn.end : common);
}

/** Undefined if a template needs inputs that are missing, which only shows when it is rendered. */
function whereTaken<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof RopewalkError) return undefined;
    throw error;
  }
}

/**
 * The ids of a chat. They are those of transformers' `apply_chat_template(tokenize=True)`, with two differences:
 * special tokens spelled out in messages are text, whatever the template does with them; and if the template omits the
 * bos that the tokenizer adds before every text, it is added, so that there is exactly one.
 *
 * @throws RopewalkError for invalid messages and those that the template refuses.
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
 * Every id that ends the assistant's message: those of the model's configuration, the tokenizer's eos, and the special
 * token that the template writes after the assistant's words (Gemma's `<end_of_turn>`).
 *
 * @param configured from generation_config.json or config.json.
 */
export function chatStopTokens(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  configured: readonly number[] = [],
): number[] {
  const stops = new Set(configured);
  if (tokenizer.eosId !== undefined) stops.add(tokenizer.eosId);
  for (const one of [template, template.toolUse]) {
    const end = one && turnFrame(tokenizer, one).end;
    if (end !== undefined) stops.add(end);
  }
  return [...stops];
}

function endOfTurn(tokenizer: Tokenizer, rendered: RenderedChat, last: number): number | undefined {
  const end = rendered.pieces.findLast(({ message, start, end }) => message === last && end > start)?.end;
  if (end === undefined) return undefined;
  const [next] = tokenizer.encode(rendered.text.slice(end).trimStart(), { addSpecialTokens: false });
  return next !== undefined && tokenizer.isSpecial(next) ? next : undefined;
}
