import { assistantTurns } from '../chat/assistant-turns.ts';
import { type EncodeChatOptions, renderChat, turnFrame } from '../chat/encode.ts';
import type { RenderedChat } from '../chat/rendered.ts';
import type { ChatTemplate } from '../chat/template.ts';
import { option, RopewalkError, said } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { encodeText } from './encode-text.ts';
import type { TrainingChat, TrainingText } from './row-form.ts';
import { TEMPLATE_NAMES } from './templates.ts';
import { type TokenPlaces, tokenPlaces } from './token-places.ts';
import type { Example } from './view.ts';

/** Whose tokens are trained in a chat: the assistant's, or everyone's. */
export type TrainOn = 'assistant' | 'all';

export interface EncodeExampleOptions extends Pick<EncodeChatOptions, 'now'> {
  readonly tokenizer: Tokenizer;
  /** Default: the tokenizer's template. */
  readonly template?: ChatTemplate | undefined;
  readonly trainOn: TrainOn;
  /** Whether special tokens spelled out in a plain text become tokens. Default true; in chats they never do. */
  readonly specialTokensInText?: boolean | undefined;
}

/**
 * The tokens of a chat or a text, and which of them are trained. The ids of a chat are those of `encodeChat`.
 *
 * If the template marks the assistant's text with `{% generation %}`, that text is trained. Otherwise each assistant
 * turn is trained from after its header (the generation prompt) up to and including the token that ends the turn, or,
 * if no special token ends it, to the end of the message's text. A token that straddles a boundary is trained. A
 * plain text is trained as a whole; see `encodeText`. The first token is never trained, because nothing predicts it.
 *
 * @throws RopewalkError for messages that the template refuses, and if there is no template.
 */
export function encodeExample(text: TrainingText, options: EncodeExampleOptions): Example {
  return 'text' in text ? encodeText(text.text, options) : encodeMessages(text, options);
}

/** @throws RopewalkError naming the remedy if there is none. */
export function requireTemplate(template: ChatTemplate | undefined): asserts template is ChatTemplate {
  if (template) return;
  throw new RopewalkError(
    said`the model has no chat template, which chats and instructions need; choose one (${option('template')}): ${TEMPLATE_NAMES.join(', ')}, or a Jinja file`,
  );
}

function encodeMessages(
  { messages, from, tools, documents }: TrainingChat,
  options: EncodeExampleOptions,
): Example {
  const { tokenizer, trainOn, now } = options;
  requireTemplate(options.template);
  const template = options.template.for(tools);
  const given = { ...(tools && { tools }), ...(documents && { documents }) };
  const rendered = renderChat(tokenizer, template, messages, { ...given, ...(now && { now }) });
  const { text, contentSpans } = rendered;
  const ids = tokenizer.encode(text, { addSpecialTokens: false, plainSpans: contentSpans });
  const trained = new Uint8Array(ids.length);
  if (trainOn === 'all') trained.fill(1);
  else {
    const places = tokenPlaces(tokenizer, text, ids, contentSpans);
    if (rendered.generated) markGenerated(rendered, from, places, trained);
    else {
      const frame = turnFrame(tokenizer, template, messages, given);
      for (const turn of assistantTurns(messages, rendered, frame.header, from)) {
        const start = places.endingAfter(turn.start);
        const contentEnd = Math.max(start, places.startingAt(turn.contentEnd));
        const end = Math.max(contentEnd, places.startingAt(turn.end));
        trained.fill(1, start, turnEnd(tokenizer, ids, contentEnd, end, turn.isLast, frame.end));
      }
    }
  }
  // As in encodeChat: exactly one bos token.
  const { before } = tokenizer.idsAround;
  const begins = before.length > 0 && before.every((id, i) => ids[i] === id);
  const added = begins ? 0 : before.length;
  const all = new Int32Array(added + ids.length);
  if (added > 0) all.set(before);
  all.set(ids, added);
  const marks = new Uint8Array(all.length);
  marks.set(trained, added);
  marks.fill(0, 0, Math.max(1, begins ? before.length : added));
  return { ids: all, trained: marks };
}

/** Marks the text inside `{% generation %}`, starting with the first message that counts. */
function markGenerated(
  { generated, pieces }: RenderedChat,
  from: number,
  places: TokenPlaces,
  trained: Uint8Array,
): void {
  const first = from === 0 ? 0 : pieces.find(({ message }) => message >= from)?.start;
  for (const [start, end] of generated!) {
    // A turn begins before the message's own characters.
    if (end <= start || first === undefined || end < first) continue;
    trained.fill(1, places.endingAfter(start), places.startingAt(end));
  }
}

/**
 * Where the trained tokens of an assistant turn end: after the token that ends turns, or else the first special
 * token, in the template's output after the message's own characters. Output at the end of the chat counts as part of
 * the last turn.
 */
function turnEnd(
  tokenizer: Tokenizer,
  ids: readonly number[],
  contentEnd: number,
  end: number,
  isLast: boolean,
  endOfTurn: number | undefined,
): number {
  const tail = ids.slice(contentEnd, end);
  let at = tail.findIndex((id) => id === endOfTurn || id === tokenizer.eosId);
  if (at < 0) at = tail.findIndex((id) => tokenizer.isSpecial(id));
  if (at >= 0) return contentEnd + at + 1;
  if (!isLast) return end;
  for (let i = end; i < ids.length; i++) {
    if (tokenizer.isSpecial(ids[i]!)) return i + 1;
    if (tokenizer.decode([ids[i]!]).trim() !== '') break;
  }
  return end;
}
