import { decodeRanges } from '../unicode/classes.ts';
import { SCRIPTS } from '../unicode/tables.ts';
import { headFrom, type Stage } from './stage.ts';

/** The index of a character's script; 0 for those common to all. Created on first use. */
let scripts: Uint8Array | undefined;

function scriptTable(): Uint8Array {
  if (scripts) return scripts;
  const table = new Uint8Array(0x110000);
  for (const [index, encoded] of SCRIPTS.entries()) {
    for (const [first, last] of decodeRanges(encoded)) table.fill(index + 1, first, last + 1);
  }
  scripts = table;
  return table;
}

/**
 * `UnicodeScripts`: splits between scripts. What precedes the first character with a script is dropped, as in Rust.
 */
export function unicodeScripts(): Stage[] {
  return [
    {
      kind: 'split',
      split(text, head, emit) {
        const table = scriptTable();
        let last = -1;
        let start = -1;
        for (let at = 0; at < text.length; ) {
          const code = text.codePointAt(at)!;
          const script = table[code]!;
          if (script !== 0 && script !== last) {
            if (start >= 0 && at > start) emit(text.slice(start, at), headFrom(head, start));
            start = at;
            last = script;
          }
          at += code > 0xffff ? 2 : 1;
        }
        if (start >= 0) emit(text.slice(start), headFrom(head, start));
      },
    },
  ];
}
