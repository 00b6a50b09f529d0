import { Text } from '../jinja/text.ts';
import { Dict, List, type Value } from '../jinja/values.ts';
import type { ChatMessage } from './messages.ts';

/** A template input, by the number in spans of the rendered text. */
export interface Source {
  /** The message that it belongs to; undefined for tools and documents. */
  readonly message?: number;
  readonly field: string;
}

/** Converts JSON to a template's values, and tracks where each text comes from. */
export class TemplateValues {
  readonly sources: Source[] = [];
  /** Total characters of all texts. */
  length = 0;

  /** @throws RangeError for values that nest endlessly */
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

  /** A list of tools or documents; None if there are none, as in transformers. */
  list(field: string, items: readonly unknown[] | undefined): Value {
    return items === undefined ? null : this.of(items, this.source({ field }));
  }

  /** A message, by index. Its role is not tracked, because the template makes special tokens from it. */
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
            `message ${index + 1} has its content in parts, but the template accepts only a string; use a string`,
          ),
        );
      } else if (field === 'content') dict.set(key, this.of(value, content));
      else dict.set(key, this.of(value, this.source({ message: index, field })));
    }
    return dict;
  }
}
