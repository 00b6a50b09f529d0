import { Text } from '../jinja/text.ts';
import { Dict, List, type Value } from '../jinja/values.ts';
import type { ChatMessage } from './messages.ts';

/** What was given to a template, by the number that spans of the rendered text bear. */
export interface Source {
  /** Which message it is of; undefined for tools and documents. */
  readonly message?: number;
  readonly field: string;
}

/** Turns JSON into a template's values, and remembers what each text comes from. */
export class TemplateValues {
  readonly sources: Source[] = [];
  /** Characters of all texts. */
  length = 0;

  /** @throws RangeError for values that nest without end */
  of(value: unknown, source: number): Value {
    if (typeof value === 'string') {
      this.length += value.length;
      return Text.of(value, source);
    }
    if (value === null || value === undefined) return null;
    if (typeof value === 'boolean' || typeof value === 'bigint') return value;
    if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
    this.length += 8;
    if (Array.isArray(value)) return new List(value.map((item) => this.of(item, source)));
    const dict = new Dict();
    for (const [key, item] of Object.entries(value)) {
      this.length += key.length;
      dict.set(Text.of(key, source), this.of(item, source));
    }
    return dict;
  }

  /** The number of a new source. */
  source(source: Source): number {
    return this.sources.push(source) - 1;
  }

  /** A list of tools or documents; none where there are none, as in transformers. */
  list(field: string, items: readonly unknown[] | undefined): Value {
    return items === undefined ? null : this.of(items, this.source({ field }));
  }

  /** A message, by its number. Its role is the template's to write: it makes special tokens of it. */
  message(message: ChatMessage, index: number): Dict {
    const dict = new Dict(index);
    const content = this.source({ message: index, field: 'content' });
    for (const [field, value] of Object.entries(message)) {
      if (value === undefined) continue;
      const key = new Text(field);
      if (field === 'role') dict.set(key, new Text(message.role));
      else if (field === 'content' && Array.isArray(value)) {
        const parts = this.of(value, content) as List;
        dict.set(
          key,
          new List(
            parts.items,
            `message ${index + 1} has its content in parts, but the template accepts only a string; give a string`,
          ),
        );
      } else if (field === 'content') dict.set(key, this.of(value, content));
      else dict.set(key, this.of(value, this.source({ message: index, field })));
    }
    return dict;
  }
}
