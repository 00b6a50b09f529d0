import { type Script, scriptOf } from '../unicode/scripts.ts';

const MARK = '▁'.codePointAt(0)!;

type Kind = Exclude<Script, 'han' | 'kana'> | 'mark' | 'cjk' | 'letters' | 'combining';

function kindOf(codePoint: number): Kind {
  if (codePoint === MARK) return 'mark';
  const character = String.fromCodePoint(codePoint);
  if (/\p{M}/u.test(character)) return 'combining';
  const script = scriptOf(codePoint);
  if (script === 'han' || script === 'kana') return 'cjk';
  return script === 'other' && /\p{L}/u.test(character) ? 'letters' : script;
}

const LETTERS: readonly Kind[] = ['hangul', 'latin', 'cjk', 'letters', 'combining'];
/** Kinds that can be followed by others of the same kind in one word. */
const RUNS: readonly Kind[] = [...LETTERS, 'punctuation'];

/**
 * Whether a merge may join two tokens of a model without a pre-tokenizer that splits texts into words. These are the
 * rules of SentencePiece's trainer: words begin with ▁, a word has one script, and digits are separate.
 */
export function joinsWithinWord(left: string, right: string): boolean {
  const before = kindOf(lastCodePoint(left));
  const after = kindOf(right.codePointAt(0)!);
  if (before === 'mark') return /^▁+$/.test(left) && (after === 'mark' || RUNS.includes(after));
  if (!RUNS.includes(before) || !RUNS.includes(after)) return false;
  if (before === after) return true;
  return (
    LETTERS.includes(before) && LETTERS.includes(after) && (before === 'combining' || after === 'combining')
  );
}

function lastCodePoint(text: string): number {
  return text.codePointAt(text.length - (/[\udc00-\udfff]$/.test(text) && text.length > 1 ? 2 : 1))!;
}
