import type { Text } from '../jinja/text.ts';
import { pushSpan, type Span } from './spans.ts';
import type { Source } from './template-values.ts';

/** A range of the rendered text that belongs to a message; empty if the message contributed an empty string. */
export interface MessageSpan {
  readonly start: number;
  readonly end: number;
  /** The message's index; undefined for an iteration of a loop over something else. */
  readonly message: number | undefined;
}

export interface RenderedChat {
  readonly text: string;
  /** Ranges of `text` (UTF-16) that come from the inputs (messages, tools): there, special tokens are only text. */
  readonly contentSpans: readonly Span[];
  /** The same by message, in order. */
  readonly pieces: readonly (MessageSpan & { readonly message: number })[];
  /** Output of the template's loop iterations, unordered. */
  readonly turns: readonly MessageSpan[];
  /** The insides of `{% generation %}`; undefined if the template has none. */
  readonly generated: readonly Span[] | undefined;
  /** The input fields that contributed characters: `tools`, `2.tool_calls`; `*` if unknown. */
  readonly fields: ReadonlySet<string>;
}

/** Extracts the properties of a rendered text from its spans. */
export function describe(text: Text, sources: readonly Source[], marksGeneration: boolean): RenderedChat {
  const contentSpans: [number, number][] = [];
  const pieces: { start: number; end: number; message: number }[] = [];
  const turns: MessageSpan[] = [];
  const generated: [number, number][] = [];
  const fields = new Set<string>();
  for (const { start, end, kind, source } of text.spans) {
    if (kind === 'turn') turns.push({ start, end, message: source < 0 ? undefined : source });
    else if (kind === 'generation') generated.push([start, end]);
    else {
      pushSpan(contentSpans, start, end);
      const { message, field } = sources[source] ?? { field: '*', message: undefined };
      if (end > start) fields.add(message === undefined ? field : `${message}.${field}`);
      if (message !== undefined) pieces.push({ start, end, message });
    }
  }
  generated.sort(([a], [b]) => a - b);
  const spans = marksGeneration ? generated : undefined;
  return { text: text.value, contentSpans, pieces, turns, generated: spans, fields };
}
