// Writes src/tokenizer/unicode/tables.ts: the character classes of the Rust library `tokenizers`, which come from
// several crates, each with its own version of Unicode. They are determined by querying the library for every code
// point. Run this again when a newer version of the development dependency `tokenizers` changes its tables: node
// scripts/build-unicode-tables.js
import { writeFileSync } from 'node:fs';
import tokenizers from 'tokenizers';

const {
  bertNormalizer,
  nfcNormalizer,
  nfdNormalizer,
  nfkcNormalizer,
  nfkdNormalizer,
  stripAccentsNormalizer,
  punctuationPreTokenizer,
  digitsPreTokenizer,
  Tokenizer,
} = tokenizers;

const codePoints = [];
for (let code = 0; code < 0x110000; code++) if (code < 0xd800 || code > 0xdfff) codePoints.push(code);
const text = String.fromCodePoint;

/** Ranges as distances in base 36: `gap+length` from the end of the previous one, without `+0`. */
function encode(codes) {
  const ranges = [];
  for (const code of codes) {
    if (ranges.length > 0 && ranges.at(-1)[1] === code - 1) ranges.at(-1)[1] = code;
    else ranges.push([code, code]);
  }
  let at = 0;
  return ranges
    .map(([first, last]) => {
      const range = (first - at).toString(36) + (last > first ? `+${(last - first).toString(36)}` : '');
      at = last;
      return range;
    })
    .join(' ');
}

/** The code points that a normalizer removes between two letters. */
const removed = (normalizer) =>
  codePoints.filter((code) => normalizer.normalizeString(`a${text(code)}a`) === 'aa');

/** The code points at which a pre-tokenizer splits. */
const splits = (preTokenizer) =>
  codePoints.filter((code) => preTokenizer.preTokenizeString(`\u4e00${text(code)}\u4e00`).length > 1);

const bert = (cleanText, stripAccents) =>
  bertNormalizer({ cleanText, handleChineseChars: false, stripAccents, lowercase: false });

/** The code points that Oniguruma's pattern does not match, of those that JavaScript's matches. */
async function patternLacks(pattern, ours) {
  const json = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'Split', pattern: { Regex: pattern }, behavior: 'Removed', invert: false },
    post_processor: null,
    decoder: null,
    model: { type: 'WordLevel', vocab: { '?': 0 }, unk_token: '?' },
  };
  const tokenizer = Tokenizer.fromString(JSON.stringify(json));
  const lacking = [];
  for (const code of codePoints) {
    if (!ours.test(text(code))) continue;
    if ((await tokenizer.encode(text(code))).getLength() > 0) lacking.push(code);
  }
  return lacking;
}

/** Characters newer than the library's normalization forms, which it treats as inert. */
function inert() {
  const forms = {
    NFC: nfcNormalizer(),
    NFD: nfdNormalizer(),
    NFKC: nfkcNormalizer(),
    NFKD: nfkdNormalizer(),
  };
  const found = new Set();
  for (const code of codePoints) {
    const character = text(code);
    const differs = Object.entries(forms).some(([form, normalizer]) =>
      // Alone, and next to marks of the lowest and the highest combining class.
      [character, `${character}\u0334`, `\u0345${character}`].some(
        (sample) => normalizer.normalizeString(sample) !== sample.normalize(form),
      ),
    );
    if (!differs) continue;
    found.add(code);
    // Its components must not occur either.
    const parts = Array.from(character.normalize('NFD'));
    if (parts.length > 1) found.add(parts[0].codePointAt(0));
  }
  return [...found].sort((a, b) => a - b);
}

/** Classes of characters between which `UnicodeScripts` does not split, in the order of their first characters. */
async function scripts() {
  const json = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'UnicodeScripts' },
    post_processor: null,
    decoder: null,
    model: { type: 'WordLevel', vocab: { '?': 0 }, unk_token: '?' },
  };
  const tokenizer = Tokenizer.fromString(JSON.stringify(json));
  const pieces = async (sample) => (await tokenizer.encode(sample)).getLength();
  const classes = [];
  let last;
  for (const code of codePoints) {
    const character = text(code);
    // Between two scripts, only a character common to all scripts leaves the split where it was.
    if ((await pieces(`a${character}\u4e00`)) === 2 && (await pieces(`\u4e00${character}a`)) === 2) {
      const any = (await pieces(`a${character}`)) === 1 && (await pieces(`\u4e00${character}`)) === 1;
      if (any) continue;
    }
    const belongs = async (known) => (await pieces(known.sample + character)) === 1;
    if (!last || !(await belongs(last))) {
      last = undefined;
      for (const known of classes) {
        if (await belongs(known)) {
          last = known;
          break;
        }
      }
      if (!last) {
        last = { sample: character, codes: [] };
        classes.push(last);
      }
    }
    last.codes.push(code);
  }
  return classes.map(({ codes }) => encode(codes));
}

const newer = await patternLacks('\\P{Cn}', /\P{Cn}/u);
const tables = [
  [
    'PUNCTUATION',
    'ASCII punctuation and general category P, as `Punctuation` and `BertPreTokenizer` see them',
    encode(splits(punctuationPreTokenizer('isolated'))),
  ],
  ['NUMERIC', 'Characters that `Digits` splits off', encode(splits(digitsPreTokenizer(true)))],
  ['BERT_CONTROL', 'What `BertNormalizer` cleans away', encode(removed(bert(true, false)))],
  ['BERT_ACCENTS', 'Marks that `BertNormalizer` strips', encode(removed(bert(false, true)))],
  ['MARKS', 'Marks that `StripAccents` strips', encode(removed(stripAccentsNormalizer()))],
  ['NEWER', 'Assigned since the version of Unicode that the regular expressions know', encode(newer)],
  ['INERT', 'Newer than the normalization forms, or parts of what is', encode(inert())],
];
const body = tables.map(
  ([name, comment, value]) => `/** ${comment}. */\nexport const ${name} =\n  '${value}';\n`,
);
const list = (await scripts()).map((value) => `  '${value}',\n`).join('');
writeFileSync(
  new URL('../src/tokenizer/unicode/tables.ts', import.meta.url),
  `// Written by scripts/build-unicode-tables.js: ranges of code points as distances in base 36.\n\n${body.join('\n')}\n/** Scripts that \`UnicodeScripts\` tells apart; characters in none of them may stand in any. */\nexport const SCRIPTS: readonly string[] = [\n${list}];\n`,
);
