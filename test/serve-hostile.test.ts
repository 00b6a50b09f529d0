import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LanguageModel } from '../src/generation/language-model.ts';
import { load } from '../src/generation/load.node.ts';
import { serve } from '../src/serve/serve.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';
import { type Json, post, smallModel } from './helpers/serve.node.ts';

/** Models whose folders come from anywhere: what is wrong with one is a clear error, and the others are served. */

const chat = { model: 'small', messages: [{ role: 'user', content: '밧줄' }], max_tokens: 40, seed: 1 };

let model: LanguageModel;
let remove: () => Promise<void>;
/** What the chat is answered with when nothing else goes on. */
let alone: string;
beforeAll(async () => {
  const made = await smallModel();
  remove = made.remove;
  model = await load(made.path, { threads: 1 });
  alone = await textOf(await post(await serve({ small: model }), '/v1/chat/completions', chat));
}, 60_000);
afterAll(async () => {
  await model?.release();
  await remove?.();
});

async function textOf(response: Response): Promise<string> {
  expect(response.status).toBe(200);
  return ((await response.json()) as Json).choices[0].message.content;
}

const errorOf = async (response: Response) => ({
  status: response.status,
  ...((await response.json()) as Json).error,
});

describe("a hostile file in a model's folder", () => {
  const hostile = scratch('serve-hostile');
  afterAll(() => hostile.remove());

  /** Serves a folder whose file has been changed beside the healthy model. */
  async function beside(template: string | undefined, change: (folder: string) => void = () => {}) {
    const folder = mkdtempSync(join(hostile.folder, 'model-'));
    await saveUntrained(folder, { max_position_embeddings: 4096, eos_token_id: [0] }, 'llama/tiny', template);
    change(folder);
    const loaded: LanguageModel[] = [];
    const open = async () => {
      const opened = await load(folder, { threads: 1 });
      loaded.push(opened);
      return opened;
    };
    const both = await serve({ small: model, hostile: open });
    const [answer, other] = await Promise.all([
      post(both, '/v1/chat/completions', { ...chat, model: 'hostile' }).then(errorOf),
      post(both, '/v1/chat/completions', chat).then(textOf),
    ]);
    expect(other).toBe(alone);
    await both.close(0);
    return answer;
  }

  it.each([
    [
      'an endless loop',
      '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}',
      /takes too long|makes a list/,
    ],
    [
      'a loop in itself',
      '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}',
      /nests too deeply|takes too long/,
    ],
    [
      'a huge text',
      '{% set ns = namespace(a="aaaaaaaaaa") %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a }}',
      /makes a text of more than/,
    ],
    ['a huge number', '{{ 9 ** 99999999 }}', /very large number/],
    ['an error', '{{ raise_exception("no chats here") }}', /no chats here/],
    ['broken syntax', '{% for m in messages %}', /endfor|template/],
  ])('is refused with 400 when it is a template with %s', async (_, template, message) => {
    expect(await beside(template)).toMatchObject({
      ...{ status: 400, message: expect.stringMatching(message) },
    });
  });

  type Change = (json: Json) => unknown;
  const changes: [string, Change, RegExp][] = [
    ['no JSON', () => '{"version": ', /tokenizer\.json/],
    ['deep nesting', () => `${'['.repeat(100_000)}${']'.repeat(100_000)}`, /tokenizer\.json/],
    [
      'a negative id',
      (json) => {
        json.model.vocab[Object.keys(json.model.vocab)[9]!] = -1;
        return json;
      },
      /gives the token .* the id -1/,
    ],
    [
      'a pattern that backtracks for ever',
      (json) => {
        json.pre_tokenizer = {
          type: 'Split',
          pattern: { Regex: '(a+)+$' },
          behavior: 'Isolated',
          invert: false,
        };
        return json;
      },
      /pattern|regular expression|tokenizer\.json/i,
    ],
    [
      'an unknown kind of model',
      (json) => {
        json.model.type = 'Evil';
        return json;
      },
      /Evil/,
    ],
    [
      'merges of nothing',
      (json) => {
        json.model.merges = [['no', 'thing']];
        return json;
      },
      /merge|tokenizer\.json/,
    ],
  ];
  it.each(changes)('is refused by its name when it is a tokenizer with %s', async (_, change, message) => {
    const answer = await beside(undefined, (folder) => {
      const file = join(folder, 'tokenizer.json');
      const changed = change(JSON.parse(readFileSync(file, 'utf8')));
      writeFileSync(file, typeof changed === 'string' ? changed : JSON.stringify(changed));
    });
    expect(answer).toMatchObject({
      status: 503,
      code: 'model_not_loaded',
      message: expect.stringMatching(message),
    });
  });
});
