import type { Component } from '../component.ts';
import { type DecoderStageFactory, firstAndOthers } from './stage.ts';

/** English spacing: no spaces before punctuation and contractions. */
const CLEANED: readonly (readonly [string, string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [' do not', " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

function cleanUp(text: string): string {
  return CLEANED.reduce((result, [from, to]) => result.replaceAll(from, to), text);
}

/** `WordPiece` for the first token and for the others. */
export function wordPieceTexts(
  component: Component,
): [first: (token: string) => string, other: (token: string) => string] {
  const prefix = component.text('prefix');
  const clean = component.flag('cleanup') ? cleanUp : (token: string) => token;
  return [clean, (token) => clean(token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`)];
}

/** `WordPiece`: spaces between words, which are tokens without the continuation prefix. */
export function wordPiece(component: Component): DecoderStageFactory {
  return firstAndOthers(...wordPieceTexts(component));
}

/** `BPEDecoder`: the end-of-word suffix is a space, or nothing at the end of the text. */
export function bpeDecoder(component: Component): DecoderStageFactory {
  const suffix = component.text('suffix');
  const replace = (token: string, by: string) => replaceAll(token, suffix, by);
  return () => {
    let held: string | undefined;
    return {
      push(token, emit) {
        if (held !== undefined) emit(replace(held, ' '));
        held = token;
      },
      end(emit) {
        if (held !== undefined) emit(replace(held, ''));
      },
    };
  };
}

/** `CTC`: merges repeated tokens and removes the padding token. */
export function ctc(component: Component): DecoderStageFactory {
  const padding = component.text('pad_token');
  const delimiter = component.text('word_delimiter_token');
  const cleans = component.flag('cleanup');
  return () => {
    let last: string | undefined;
    return {
      push(token, emit) {
        if (token === last) return;
        last = token;
        let text = replaceAll(token, padding, '');
        if (cleans) text = replaceAll(cleanUp(text), delimiter, ' ');
        if (text !== '') emit(text);
      },
      end: () => {},
    };
  };
}

/** Rust's `replace`: an empty pattern also matches between all characters. */
function replaceAll(text: string, from: string, to: string): string {
  if (from !== '') return text.replaceAll(from, () => to);
  return to + Array.from(text, (character) => character + to).join('');
}
