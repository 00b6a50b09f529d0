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

/** Whose tokens are trained in a chat: the assistant's, or everybody's. */
export type TrainOn = 'assistant' | 'all';

export interface EncodeExampleOptions extends Pick<EncodeChatOptions, 'now'> {
  readonly tokenizer: Tokenizer;
  /** Default: the tokenizer's own. */
  readonly template?: ChatTemplate | undefined;
  readonly trainOn: TrainOn;
  /** Whether special tokens that a plain text spells are special. Default true; in chats they never are. */
  readonly specialTokensInText?: boolean | undefined;
}

/**
 * The tokens of a chat or a text, and which of them are trained. The ids of a chat are those of `encodeChat`.
 *
 * Where the template says by `{% generation %}` what the assistant writes, that is trained. Else it is, of each of the
 * assistant's turns, what follows the header (the generation prompt) up to and including the token that ends the turn;
 * where no special token ends it, to the end of what the template writes for the message. A token that lies across a
 * border is trained. A plain text is trained as a whole: see `encodeText`. The first
 * token of all is never trained: nothing predicts it.
 *
 * @throws RopewalkError for messages that the template refuses, and where it is missing.
 */
export function encodeExample(text: TrainingText, options: EncodeExampleOptions): Example {
  return 'text' in text ? encodeText(text.text, options) : encodeMessages(text, options);
}

/** @throws RopewalkError naming the remedy where there is none. */
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
  // As in encodeChat: exactly one bos.
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

/** Marks what is inside of `{% generation %}`, from the first message that counts on. */
function markGenerated(
  { generated, pieces }: RenderedChat,
  from: number,
  places: TokenPlaces,
  trained: Uint8Array,
): void {
  const first = from === 0 ? 0 : pieces.find(({ message }) => message >= from)?.start;
  for (const [start, end] of generated!) {
    // A turn begins before the message's own characters do.
    if (end <= start || first === undefined || end < first) continue;
    trained.fill(1, places.endingAfter(start), places.startingAt(end));
  }
}

/**
 * Where the tokens that an assistant's turn takes end: after the token that ends turns, or the first special one, of what
 * the template writes after the message's own characters. What it writes only at the end of the chat counts for the
 * last turn.
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
