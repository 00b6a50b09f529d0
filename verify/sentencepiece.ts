import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Tokenizer as Rust } from 'tokenizers';
import { loadTokenizer } from '../src/tokenizer/tokenizer.node.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';

/*
 * Compares the ids of tokenizer.model files with Python's sentencepiece, text by text.
 *
 *     python test/reference/make_sentencepiece.py --texts 2000 > ids.jsonl
 *     node scripts/run-ts.js verify/sentencepiece.ts ids.jsonl
 */

const rows = readFileSync(process.argv[2]!, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { text: string; ids: Record<string, number[]> });
const file = (name: string) =>
  fileURLToPath(new URL(`../test/reference/sentencepiece/${name}.model`, import.meta.url));

for (const name of Object.keys(rows[0]!.ids)) {
  const tokenizer: Tokenizer = loadTokenizer(file(name));
  const rust = Rust.fromString(JSON.stringify(tokenizer.toJSON()));
  const wrong: { text: string; got: number[]; wanted: number[] }[] = [];
  let unlikeRust = 0;
  let tokens = 0;
  for (const { text, ids } of rows) {
    const got = tokenizer.encode(text, { addSpecialTokens: false });
    tokens += got.length;
    if (JSON.stringify(got) !== JSON.stringify(ids[name])) wrong.push({ text, got, wanted: ids[name]! });
    const theirs = await rust.encode(text, null, { addSpecialTokens: false });
    if (JSON.stringify(theirs.getIds()) !== JSON.stringify(got)) unlikeRust++;
  }
  console.log(
    `${name.padEnd(16)} ${rows.length - wrong.length} of ${rows.length} texts with the ids of sentencepiece (${tokens} tokens); ` +
      `the tokenizer.json in the Rust library: ${rows.length - unlikeRust} as here`,
  );
  for (const { text, got, wanted } of wrong.slice(0, 5)) {
    const show = (ids: number[]) => ids.map((id) => tokenizer.idToToken(id)).join(' ');
    console.log(`  ${JSON.stringify(text)}\n    here ${show(got)}\n    there ${show(wanted)}`);
  }
}
