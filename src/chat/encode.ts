import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { tokenContent } from '../tokenizer/tokenizer-schema.ts';
import { headOf } from './assistant-turns.ts';
import type { ChatMessage } from './messages.ts';
import type { RenderedChat } from './rendered.ts';
import type { ChatTemplate, RenderOptions } from './template.ts';

/** As {@link RenderOptions}, without the tokens, which the tokenizer knows. */
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
   * What stands before what the assistant says, and is given to the model: the generation prompt, where there is none what
   * stands before a plain answer. Undefined where neither is known.
   */
  readonly header: string | undefined;
  /** The special token after what an assistant says; undefined where there is none but white space. */
  readonly end: number | undefined;
}

const frames = new WeakMap<ChatTemplate, WeakMap<Tokenizer, TurnFrame>>();

/**
 * How a template frames what the assistant says, seen in short chats of its own.
 *
 * @param messages are asked where it refuses these, with their tools and documents.
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

/** The generation prompt after messages; undefined where the template refuses them. */
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
  // Without a prompt it writes something else.
  let common = 0;
  while (common < without.text.length && without.text[common] === given.text[common]) common++;
  const turn = given.turns.find(({ message }) => message === messages.length - 1);
  return given.text.slice(turn && turn.end <= common ? turn.end : common);
}

/** Undefined where a template asks for more than it is given, and tells when it is used. */
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
