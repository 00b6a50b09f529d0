import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AddedTokenFiles, joinTokenizerFiles } from './added-token-files.ts';
import { StreamDecoder } from './stream.ts';
import { loadTokenizer } from './tokenizer.node.ts';
import { Tokenizer } from './tokenizer.ts';
import { type JsonObject, tokenContent } from './tokenizer-schema.ts';

interface Case {
  readonly name: string;
  readonly base: string;
  readonly config: JsonObject | null;
  readonly addedTokens: JsonObject | null;
  readonly specialTokensMap: JsonObject | null;
  /** What transformers makes of them. */
  readonly tokens: readonly JsonObject[];
  readonly named: Readonly<Record<string, string>>;
  readonly texts: readonly (readonly [text: string, ids: number[], decoded: string])[];
}

/** Made by transformers: see make_added_tokens.py. */
const { bases, cases } = JSON.parse(
  readFileSync(new URL('../../test/reference/added-tokens.json', import.meta.url), 'utf8'),
) as { bases: Record<string, JsonObject>; cases: Case[] };

function filesOf({ base, config, addedTokens, specialTokensMap }: Case): AddedTokenFiles {
  return {
    tokenizer: bases[base]!,
    config: config ?? undefined,
    addedTokens: addedTokens ?? undefined,
    specialTokensMap: specialTokensMap ?? undefined,
  };
}

describe('the added tokens of all tokenizer files', () => {
  it.each(cases.map((each) => [each.name, each] as const))(
    'equal those of transformers: %s',
    (_name, each) => {
      const files = filesOf(each);
      const { tokenizer, config } = joinTokenizerFiles(files, 'm');
      expect(tokenizer.added_tokens).toEqual(each.tokens);
      for (const field of ['bos_token', 'eos_token', 'unk_token', 'pad_token']) {
        expect(tokenContent(config[field]), field).toBe(each.named[field]);
      }
      const again = joinTokenizerFiles({ ...files, tokenizer, config }, 'm');
      expect(again.tokenizer).toBe(tokenizer);
      const engine = Tokenizer.fromJSON(tokenizer, config);
      for (const [text, ids, decoded] of each.texts) {
        expect(engine.encode(text, { addSpecialTokens: false }), text).toEqual(ids);
        // How the other kind writes normalized added tokens is for the decoder's tests.
        if (each.base !== 'byte-level') continue;
        expect(engine.decode(ids)).toBe(decoded);
        const stream = new StreamDecoder(engine);
        expect(ids.map((id) => stream.push(id)).join('') + stream.flush()).toBe(decoded);
      }
    },
  );

  it('are read beside a tokenizer.json', () => {
    const each = cases.find(({ name }) => name === 'added_tokens.json is special by tokenizer_config.json')!;
    const folder = mkdtempSync(join(tmpdir(), 'ropewalk-added-'));
    try {
      const files = {
        'tokenizer.json': bases[each.base],
        'tokenizer_config.json': each.config,
        'added_tokens.json': each.addedTokens,
      };
      for (const [name, value] of Object.entries(files))
        writeFileSync(join(folder, name), JSON.stringify(value));
      for (const path of [folder, join(folder, 'tokenizer.json')]) {
        const tokenizer = loadTokenizer(path);
        for (const [text, ids] of each.texts) {
          expect(tokenizer.encode(text, { addSpecialTokens: false })).toEqual(ids);
        }
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('are refused by name when they are malformed or reuse the id of another', () => {
    const tokenizer = bases['byte-level']!;
    const joined = (files: Partial<AddedTokenFiles>) => () =>
      joinTokenizerFiles({ tokenizer, ...files }, 'm');
    const decoder = (added_tokens_decoder: unknown) => joined({ config: { added_tokens_decoder } });
    expect(decoder([])).toThrow('m/tokenizer_config.json: the field "added_tokens_decoder" must be');
    expect(decoder({ x: { content: 'a' } })).toThrow('"added_tokens_decoder.x"');
    expect(decoder({ 5: 'a' })).toThrow('"added_tokens_decoder.5"');
    expect(joined({ config: { eos_token: 7 } })).toThrow('m/tokenizer_config.json: the field "eos_token"');
    expect(joined({ specialTokensMap: { eos_token: ['a'] } })).toThrow('m/special_tokens_map.json');
    expect(joined({ config: { additional_special_tokens: 'a' } })).toThrow('"additional_special_tokens"');
    expect(joined({ config: { extra_special_tokens: [null] } })).toThrow('"extra_special_tokens"');
    expect(joined({ addedTokens: { '<x>': '5' } })).toThrow('m/added_tokens.json: the field "<x>"');
    const model = { type: 'BPE', vocab: { a: 0, b: 2 }, merges: [] };
    expect(() =>
      joinTokenizerFiles({ tokenizer: { added_tokens: [], model }, config: { eos_token: '<e>' } }, 'm'),
    ).toThrow('"<e>" would get the id 2, which belongs to "b"');
  });
});
