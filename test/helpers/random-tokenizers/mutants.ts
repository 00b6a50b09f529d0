import { RopewalkError } from '../../../src/errors.ts';
import { Tokenizer } from '../../../src/tokenizer/tokenizer.ts';
import { Chooser } from './chooser.ts';
import { randomTokenizer } from './tokenizers.ts';

/** What a file may hold in place of what it should. */
const STRANGE: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 2 ** 24, 2 ** 32 - 1, 2 ** 53, 1e308, -1e308],
  ...['', 'a', '▁', '\0', '\ud800', 'a'.repeat(5000), '__proto__', 'constructor', 'Regex', '1.0'],
  ...[[], {}, [[]], [null, 1, 'a'], { String: '' }, { Regex: '' }, { Regex: '(' }, { Regex: 'a\\' }],
  ...[
    '(a+)+b',
    '(a|a)*b',
    '(.*)*x',
    '(\\w+\\s?)*$',
    '\\s*\\s*\\s*\\s*x',
    '(?<=a+)b',
    '((a{0,99}){0,99}){0,99}b',
  ].map((Regex) => ({ Regex })),
  ...[
    'Sequence',
    'Lowercase',
    'NFKC',
    'ByteLevel',
    'Digits',
    'Whitespace',
    'BertPreTokenizer',
    'WordPiece',
  ].map((type) => ({ type })),
  ...['Nonsense', 'toString', 'CTC', 'Fuse', 'ByteFallback', 'BPE'].map((type) => ({ type })),
  { type: 'Replace', pattern: { Regex: '(a|a)*b' }, content: 'x' },
  { type: 'Split', pattern: { Regex: '(x+x+)+y' }, behavior: 'Isolated', invert: false },
  { type: 'Precompiled', precompiled_charsmap: 'AAAA' },
  { type: 'Precompiled', precompiled_charsmap: '/////wAAAAA=' },
  { type: 'FixedLength', length: 0 },
];

const TEXTS = [
  '',
  'abc a\tb the  ',
  '밧줄 rope 🪢 e\u0301 ½',
  `${'a'.repeat(40)} b`,
  '<s>a</s><unk>[UNK]',
  `${'x'.repeat(3000)}!`,
  'word '.repeat(500),
];

/**
 * Damages a random tokenizer file in one to three places, in its structure or its bytes, opens it, and encodes and decodes.
 *
 * @returns whether it was refused; any error that is no RopewalkError is thrown on.
 */
export function tryMutant(seed: number): 'refused' | 'opened' {
  const choose = new Chooser(seed + 1_000_003);
  const { json } = randomTokenizer(seed, 0);
  let changed: unknown = json;
  try {
    changed = choose.once(4) ? damageBytes(choose, json) : damageStructure(choose, json);
  } catch {
    return 'refused'; // No JSON any more: the reader of the file says so.
  }
  try {
    const tokenizer = Tokenizer.fromJSON(changed);
    for (const text of TEXTS) {
      const ids = tokenizer.encode(text);
      if (!ids.every((id) => Number.isSafeInteger(id) && id >= 0)) throw new TypeError(`ids ${ids.join()}`);
      if (typeof tokenizer.decode(ids) !== 'string') throw new TypeError('decoded to no text');
    }
    return 'opened';
  } catch (error) {
    if (error instanceof RopewalkError) return 'refused';
    throw new Error(`the damaged tokenizer of seed ${seed}`, { cause: error });
  }
}

/** Changes bytes of the file's text. @throws SyntaxError where it is no JSON any more */
function damageBytes(choose: Chooser, json: unknown): unknown {
  const bytes = new TextEncoder().encode(JSON.stringify(json));
  for (let i = choose.below(3); i >= 0; i--) {
    const at = choose.below(bytes.length);
    // Digits and letters leave most files JSON.
    bytes[at] = choose.once(4)
      ? choose.below(256)
      : choose.pick([...'019eaB+(*.'].map((c) => c.charCodeAt(0)));
  }
  return JSON.parse(new TextDecoder().decode(bytes));
}

function damageStructure(choose: Chooser, json: unknown): unknown {
  const copy = structuredClone(json);
  for (let i = choose.below(3); i >= 0; i--) {
    let holder = copy as Record<string, unknown>;
    for (;;) {
      const keys = Object.keys(holder);
      if (keys.length === 0) break;
      const key = choose.pick(keys);
      const value = holder[key];
      if (typeof value === 'object' && value !== null && !choose.once(4)) {
        holder = value as Record<string, unknown>;
        continue;
      }
      damageField(choose, holder, key);
      break;
    }
  }
  return copy;
}

function damageField(choose: Chooser, holder: Record<string, unknown>, key: string): void {
  const strange = structuredClone(choose.pick(STRANGE));
  const way = choose.below(6);
  if (way === 0) delete holder[key];
  else if (way === 1) holder[`${key}x`] = holder[key];
  else if (way === 2) holder[key] = nested(choose, choose.below(3000), strange);
  else holder[key] = strange;
}

function nested(choose: Chooser, levels: number, value: unknown): unknown {
  const field = choose.pick(['normalizers', 'pretokenizers', 'decoders', 'processors']);
  let result = value;
  for (let i = 0; i < levels; i++) result = i % 2 === 0 ? [result] : { type: 'Sequence', [field]: result };
  return result;
}
