import { type EncodeChatOptions, renderChat } from '../chat/encode.ts';
import type { ChatTemplate } from '../chat/template.ts';
import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { assistantSpans } from './assistant-spans.ts';
import { encodeText } from './encode-text.ts';
import type { TrainingText } from './row-form.ts';
import { TEMPLATE_NAMES } from './templates.ts';
import { tokenPlaces } from './token-places.ts';
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
 * The tokens of a chat or a text, and which of them are trained. The ids of a chat are those of {@link encodeChat}. Of an
 * assistant's message, all tokens are trained that the model has to write: from where the generation prompt ends to the
 * special token that ends the turn (or, where there is none, to the end of what the template writes). A token that lies
 * across a border is trained. A plain text is trained as a whole: see {@link encodeText}. The first token of all is never
 * trained: nothing predicts it.
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
    `the model has no chat template, which chats and instructions need; name one by --template (in a program: template): ${TEMPLATE_NAMES.join(', ')}, or a Jinja file`,
  );
}

function encodeMessages(
  { messages, from }: Extract<TrainingText, { messages: unknown }>,
  options: EncodeExampleOptions,
): Example {
  const { tokenizer, template, trainOn, now } = options;
  requireTemplate(template);
  const rendered = renderChat(tokenizer, template, messages, now && { now });
  const { text, contentSpans } = rendered;
  const ids = tokenizer.encode(text, { addSpecialTokens: false, plainSpans: contentSpans });
  const trained = new Uint8Array(ids.length);
  if (trainOn === 'all') trained.fill(1);
  else {
    const places = tokenPlaces(tokenizer, text, ids, contentSpans);
    for (const span of assistantSpans(tokenizer, template, messages, rendered, {
      from,
      ...(now && { now }),
    })) {
      const start = places.endingAfter(span.start);
      const contentEnd = Math.max(start, places.startingAt(span.contentEnd));
      const limit = span.end === undefined ? undefined : places.startingAt(span.end);
      trained.fill(1, start, turnEnd(tokenizer, ids, contentEnd, limit));
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

/**
 * Where the tokens that an assistant's turn takes end: after the special token that ends it. Where the end of the message
 * is known, that is the first one up to there; else it may only follow at once, or after white space.
 */
function turnEnd(tokenizer: Tokenizer, ids: readonly number[], contentEnd: number, limit?: number): number {
  for (let i = contentEnd; i < (limit ?? ids.length); i++) {
    if (tokenizer.isSpecial(ids[i]!)) return i + 1;
    if (limit === undefined && tokenizer.decode([ids[i]!]).trim() !== '') break;
  }
  return limit ?? contentEnd;
}
