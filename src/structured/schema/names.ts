import { schemaError } from './keywords.ts';
import { latin1Json } from './literal.ts';
import type { LiteralValue, StringValue } from './values.ts';

/** The constraint on property names. */
export interface NameRule {
  /** Names that are listed individually. */
  readonly listed: readonly string[];
  /** The form of other names; null if there are none. */
  readonly others: StringValue | null;
  takes(name: string): boolean;
}

/**
 * The rule of `propertyNames`, from the alternatives that its schema leaves for a string.
 *
 * @throws RopewalkError if names of several kinds are allowed: one automaton must cover all properties.
 */
export function nameRule(found: readonly (LiteralValue | StringValue)[], pointer: string): NameRule {
  const listed = found.flatMap((value) =>
    value.kind === 'literal' ? value.trie.texts.map((text) => JSON.parse(utf8(text)) as string) : [],
  );
  const strings = found.filter((value) => value.kind === 'string');
  if (strings.length > 1) {
    throw schemaError(pointer, 'has several alternatives for names; write one pattern with | between them');
  }
  const others = strings[0] ?? null;
  const takes = (name: string) => {
    if (listed.includes(name)) return true;
    if (!others) return false;
    const length = Array.from(name).length;
    return length >= others.least && length <= others.most && others.dfa.takes(latin1Json(name).slice(1, -1));
  };
  return { listed, others, takes };
}

/** Decodes bytes given as one character each. */
function utf8(bytes: string): string {
  return new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
}
