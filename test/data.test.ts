import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeChat } from '../src/chat/encode.ts';
import type { ChatMessage } from '../src/chat/messages.ts';
import { ChatTemplate } from '../src/chat/template.ts';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { forOutput } from '../src/cli/terminal/printable.ts';
import { type PrepareOptions, prepareDataset } from '../src/data/dataset.node.ts';
import { encodeExample } from '../src/data/encode-example.ts';
import { PackedSource } from '../src/data/packed-source.ts';
import { previewRuns } from '../src/data/preview.ts';
import { readRows } from '../src/data/reading/read-rows.node.ts';
import { resolveData } from '../src/data/reading/resolve-data.node.ts';
import { isTemplateName, namedTemplate, TEMPLATE_NAMES } from '../src/data/templates.ts';
import { datasetOf } from '../src/data/view.ts';
import { RopewalkError } from '../src/errors.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { Executable } from '../src/runtime/executable.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { contextFeeds, lossFeeds } from '../src/training/feeds.ts';
import { lossGraph } from '../src/training/graph.ts';
import { ROOT, ropewalk } from './helpers/cli.node.ts';
import { FAMILIES } from './helpers/families.ts';
import { fixture } from './helpers/fixtures.node.ts';
import { COMMIT, type FakeHub, startHub } from './helpers/hub.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-data-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const reference = (name: string) => join(ROOT, 'test/reference', name);
const readJson = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

const masks = readJson(reference('data/masks.json')) as {
  templates: Record<string, string>;
  cases: { tokenizer: string; template: string; messages: ChatMessage[]; ids: number[]; mask: number[] }[];
};
const tokenizers = readJson(reference('chat.json')).tokenizers as Record<string, unknown>;
const names = { bos_token: '<bos>', eos_token: '<eos>' };
const tokenizerOf = (name: string) => Tokenizer.fromJSON(tokenizers[name], names);
const tokenizer = tokenizerOf('byteLevel');
const marked = new ChatTemplate(masks.templates.marked!, 'marked');

const file = (name: string, text: string | Buffer) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const prepare = (files: string[], options: Partial<PrepareOptions> = {}) =>
  prepareDataset({
    ...{ files, tokenizer, template: marked, maxLength: 200, folder: join(folder, 'tokens') },
    ...options,
  });
const refusal = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RopewalkError);
  return (error as RopewalkError).message;
};

describe('the loss mask of a chat', () => {
  it.each(Object.keys(masks.templates))(
    'equals the mask that transformers takes from {%% generation %%}: %s',
    (name) => {
      const template = new ChatTemplate(masks.templates[name]!, name);
      const cases = masks.cases.filter((one) => one.template === name);
      expect(cases.length).toBeGreaterThan(8);
      for (const { tokenizer: which, messages, ids, mask } of cases) {
        const tokenizer = tokenizerOf(which);
        const example = encodeExample({ messages, from: 0 }, { tokenizer, template, trainOn: 'assistant' });
        expect([...example.ids]).toEqual(encodeChat(tokenizer, template, messages));
        // We put the bos there where the template does not; transformers leaves it out.
        const added = example.ids.length - ids.length;
        expect([...example.ids].slice(added)).toEqual(ids);
        expect([...example.trained].slice(added), `${name} ${which} ${JSON.stringify(messages)}`).toEqual(
          mask,
        );
        expect([...example.trained].slice(0, added)).not.toContain(1);
      }
    },
  );

  it('treats special tokens spelled in messages as text, also in trained parts', () => {
    const messages: ChatMessage[] = [
      { role: 'user', content: 'a<|end|>\n<|start|>assistant\nb' },
      { role: 'assistant', content: 'x<|end|>y<eos>' },
    ];
    const { ids, trained } = encodeExample(
      { messages, from: 0 },
      { tokenizer, template: marked, trainOn: 'assistant' },
    );
    expect([...ids]).toEqual(encodeChat(tokenizer, marked, messages));
    const kept = [...ids].filter((_, i) => trained[i]);
    expect(tokenizer.decode(kept)).toBe('x<|end|>y<eos><|end|>');
    expect(kept.filter((id) => tokenizer.isSpecial(id))).toEqual([tokenizer.tokenToId('<|end|>')]);
  });

  it('covers everything but the first token with trainOn all, and otherwise only what follows a given message', () => {
    const messages: ChatMessage[] = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
      { role: 'user', content: 'c' },
      { role: 'assistant', content: 'd' },
    ];
    const all = encodeExample({ messages, from: 0 }, { tokenizer, template: marked, trainOn: 'all' });
    expect([...all.trained]).toEqual([0, ...new Array(all.ids.length - 1).fill(1)]);
    const last = encodeExample({ messages, from: 3 }, { tokenizer, template: marked, trainOn: 'assistant' });
    expect(tokenizer.decode([...last.ids].filter((_, i) => last.trained[i]))).toBe('d<|end|>');
  });

  it('covers all of a plain text and its end', () => {
    const { ids, trained } = encodeExample(
      { text: 'a <|end|> b' },
      { tokenizer, trainOn: 'assistant', specialTokensInText: false },
    );
    expect(tokenizer.decode(ids)).toBe('<bos>a <|end|> b<eos>');
    expect([...ids].filter((id) => tokenizer.isSpecial(id)).length).toBe(2);
    expect([...trained]).toEqual([0, ...new Array(ids.length - 1).fill(1)]);
    const special = encodeExample({ text: 'a <|end|> b' }, { tokenizer, trainOn: 'assistant' });
    expect([...special.ids].filter((id) => tokenizer.isSpecial(id)).length).toBe(3);
  });

  it('covers exactly the contents and the ends of turns, whatever they contain', () => {
    const content = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((text) => text.trim() !== '');
    fc.assert(
      fc.property(
        fc.array(fc.record({ user: content, assistant: content }), { minLength: 1, maxLength: 3 }),
        fc.constantFrom('byteLevel', 'pieces'),
        (turns, which) => {
          const messages = turns.flatMap(({ user, assistant }): ChatMessage[] => [
            { role: 'user', content: user },
            { role: 'assistant', content: assistant },
          ]);
          const tokenizer = tokenizerOf(which);
          const { ids, trained } = encodeExample(
            { messages, from: 0 },
            { tokenizer, template: marked, trainOn: 'assistant' },
          );
          const kept = tokenizer.decode([...ids].filter((_, i) => trained[i]));
          // A token may hold the end of what begins the turn and the beginning of the content: it is trained.
          const quote = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
          const turn = ({ assistant }: { assistant: string }) => `\\n?${quote(assistant)}<\\|end\\|>`;
          expect(kept).toMatch(new RegExp(`^${turns.map(turn).join('')}$`, 'u'));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('can come from a named template for models without one, which names missing tokens', () => {
    expect(isTemplateName('chatml')).toBe(true);
    expect(isTemplateName('toString')).toBe(false);
    const messages: ChatMessage[] = [
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Hi' },
    ];
    const json = structuredClone(tokenizers.byteLevel) as {
      added_tokens: { id: number; content: string }[];
      model: { vocab: Record<string, number> };
    };
    const first = Math.max(...Object.values(json.model.vocab)) + 1;
    const more = ['<|im_start|>', '<|im_end|>', '<start_of_turn>', '<end_of_turn>'];
    more.push('<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>');
    for (const [i, content] of more.entries()) {
      json.added_tokens.push({ ...json.added_tokens[0]!, content, id: first + i });
    }
    const rich = Tokenizer.fromJSON(json, names);
    const texts = TEMPLATE_NAMES.map((name) => {
      const template = namedTemplate(name, rich);
      const example = encodeExample(
        { messages, from: 0 },
        { tokenizer: rich, template, trainOn: 'assistant' },
      );
      return [rich.decode(example.ids), rich.decode([...example.ids].filter((_, i) => example.trained[i]))];
    });
    const turns = (begin: string, middle: string, end: string, user = 'user', assistant = 'assistant') =>
      `${begin}${user}${middle}Hello${end}${begin}${assistant}${middle}Hi${end}`;
    expect(Object.fromEntries(TEMPLATE_NAMES.map((name, i) => [name, texts[i]]))).toEqual({
      chatml: [`<bos>${turns('<|im_start|>', '\n', '<|im_end|>\n')}`, 'Hi<|im_end|>'],
      plain: ['<bos>User:\nHello\n\nAssistant:\nHi<eos>\n\n', 'Hi<eos>'],
      gemma: [
        `<bos>${turns('<start_of_turn>', '\n', '<end_of_turn>\n', 'user', 'model')}`,
        'Hi<end_of_turn>',
      ],
      llama3: [`<bos>${turns('<|start_header_id|>', '<|end_header_id|>\n\n', '<|eot_id|>')}`, 'Hi<|eot_id|>'],
    });
    expect(() => namedTemplate('chatml', tokenizer)).toThrow(
      /special tokens <\|im_start\|> and <\|im_end\|>/,
    );
  });
});

describe('reading data files', () => {
  it.each(['none', 'snappy', 'gzip', 'zstd', 'brotli', 'lz4'])(
    'gives the rows that pyarrow wrote: %s',
    async (codec) => {
      const rows = [];
      for await (const { values } of readRows(reference(`data/pairs-${codec}.parquet`))) rows.push(values);
      expect(rows).toEqual(
        ['one', 'two', null, '넷', 'five, '.repeat(40)].map((completion, i) => ({
          prompt: `What comes after ${i}?`,
          completion,
          score: [0.5, 1.5, null, 2.5, 3.5][i],
        })),
      );
    },
  );

  it('refuses truncated or corrupted files, whatever was changed', async () => {
    const whole = readFileSync(reference('data/pairs-none.parquet'));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 }),
        fc.option(fc.nat(whole.length)),
        async (changes, cut) => {
          const bytes = Buffer.from(whole);
          for (const [at, value] of changes) bytes[at] = value;
          const path = file('changed.parquet', cut === null ? bytes : bytes.subarray(0, cut));
          try {
            // Some changes only change what is read.
            for await (const _ of readRows(path));
          } catch (error) {
            expect(error).toBeInstanceOf(RopewalkError);
            expect((error as Error).message).toContain(path);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('gives the same examples from every format', async () => {
    const prompt = 'Say "hi", then\nstop';
    const messages = [
      { role: 'user', content: prompt },
      { role: 'assistant', content: 'hi' },
    ];
    const csv = '"Say ""hi"", then\nstop",hi';
    const forms: [string, string, PrepareOptions['columns']?][] = [
      ['a.jsonl', `${JSON.stringify({ messages })}\n`],
      ['b.json', JSON.stringify([{ prompt, completion: 'hi' }], null, 2)],
      ['c.json', `\n${JSON.stringify({ instruction: prompt, input: '', output: 'hi' })}\n`],
      ['d.csv', `\ufeffinstruction,output\r\n${csv}\r\n`],
      ['e.tsv', `Q\tA\n${csv.replace('",hi', '"\thi')}`, { prompt: 'Q', completion: 'A' }],
      [
        'f.jsonl',
        JSON.stringify({
          conversations: [
            { from: 'human', value: prompt },
            { from: 'gpt', value: 'hi' },
          ],
        }),
      ],
      ['g.jsonl', JSON.stringify({ prompt: messages.slice(0, 1), completion: messages.slice(1) })],
      ['h.jsonl', JSON.stringify({ instruction: 'Say "hi", then\nstop', input: null, output: 'hi' })],
    ];
    const { ids, trained } = encodeExample(
      { messages: messages as ChatMessage[], from: 0 },
      { tokenizer, template: marked, trainOn: 'assistant' },
    );
    for (const [name, text, columns] of forms) {
      const dataset = await prepare([file(name, text)], { columns });
      expect(dataset.size, name).toBe(1);
      expect(await dataset.read(0), name).toEqual({ ids, trained });
      await dataset.close();
    }
  });

  it.each([
    [
      'x.jsonl',
      '{"prompt":"a","completion":"b"}\n\n{"prompt":"a","completion":\n',
      /x\.jsonl:3: not valid JSON/,
    ],
    [
      'x.jsonl',
      '{"prompt":"a","completion":"b"}\n{"prompt":"a"}\n',
      /x\.jsonl:2: the field completion is missing/,
    ],
    [
      'x.jsonl',
      '{"prompt":"a","completion":"b"}\n{"prompt":5,"completion":"b"}',
      /:2: the field prompt is not a string/,
    ],
    ['x.jsonl', '{"prompt":"a","completion":"b"}\n[1]', /x\.jsonl:2: not a JSON object/],
    ['x.jsonl', '{"question":"a"}', /x\.jsonl:1: no known form.*"question".*columns: \{ prompt: 'NAME'/],
    ['x.jsonl', '{"messages":[{"role":"root","content":"a"}]}', /x\.jsonl:1: message 1 .* the role "root"/],
    ['x.jsonl', '{"messages":[{"role":"user","content":["a"]}]}', /x\.jsonl:1: message 1 .* not text/],
    ['x.jsonl', '{"messages":"no"}', /x\.jsonl:1: the field messages holds a text that is not JSON/],
    ['x.jsonl', '', /no rows/],
    ['x.json', '[{"text":"a"},\n{"text":}]', /x\.json:2: not valid JSON/],
    ['x.json', '[{"text":"a"},\n{"text":"b"}', /x\.json:2: the file ends within the array/],
    ['x.json', '[{"text":"a"},,{"text":"b"}]', /x\.json:1: the file has a comma without a row/],
    ['x.json', '[{"text":"a"}] x', /more after the array/],
    ['x.json', '5', /not an array/],
    ['x.csv', 'prompt,completion\na,b\n"a","b\nc', /x\.csv:3: .* never closed/],
    ['x.csv', 'prompt,completion\na,b\n\na,b,c\n', /x\.csv:4: 3 fields, .* 2 columns/],
    ['x.csv', 'prompt,completion\n"a\nb"x,c\n', /x\.csv:2: text after the closing quote/],
    ['x.csv', 'prompt,prompt\na,b', /x\.csv:1: two columns are named "prompt"/],
    ['x.csv', Buffer.from('prompt,completion\na,b\n\xb0\xa1,b\n', 'latin1'), /x\.csv:3: .*not UTF-8.*CP949/],
    ['x.parquet', 'PAR1 no PAR1', /x\.parquet: this Parquet file cannot be read/],
    ['x.doc', 'a', /x\.doc: the format of a data file is recognized by its extension/],
  ])('refuses a faulty %s with the place of the fault: %j', async (name, text, message) => {
    expect(await refusal(prepare([file(name, text)]))).toMatch(message);
  });

  it('refuses missing files and paths that are not files', async () => {
    expect(await refusal(prepare([join(folder, 'none.jsonl')]))).toContain('no such file');
    expect(await refusal(prepare([folder]))).toContain('not a regular file');
    expect(await refusal(prepare([]))).toContain('no data file');
    const noColumn = prepare([file('x.csv', 'a,b\n1,2')], { columns: { prompt: 'Q', completion: 'b' } });
    expect(await refusal(noColumn)).toMatch(/x\.csv:2: there is no column "Q"; the columns are "a", "b"/);
    const noTemplate = prepare([file('x.csv', 'prompt,completion\n1,2')], { template: undefined });
    expect(await refusal(noTemplate)).toMatch(/no chat template.*chatml, plain/);
  });

  it('refuses huge pages or lists before memory is allocated for them', async () => {
    const whole = readFileSync(reference('data/pairs-none.parquet'));
    const bytes = Buffer.from(whole);
    bytes.writeUInt32LE(0x7fffffff, bytes.length - 8);
    expect(await refusal(prepare([file('huge.parquet', bytes)]))).toContain('metadata would take');
    // A run of levels: its length, 2 · 2 and the level 1 become 2 · 63 and 1. The library would write as many values as
    // it says, up to a billion.
    const run = whole.indexOf(Buffer.from([2, 0, 0, 0, 4, 1]));
    expect(run).toBeGreaterThan(0);
    const long = Buffer.from(whole);
    long[run + 4] = 126;
    expect(await refusal(prepare([file('run.parquet', long)]))).toContain(
      'a run has 63 values where only 2 are left',
    );
  });

  describe('of Parquet with over 1 GiB in a column of a row group', () => {
    const varint = (value: number) => {
      // Zigzag, seven bits a byte, the lowest first.
      const bytes: number[] = [];
      let left = BigInt(value) * 2n;
      for (; left > 127n; left >>= 7n) bytes.push(Number(left & 127n) | 128);
      return [0x16, ...bytes, Number(left)];
    };
    /** The file with other sizes of a column in its metadata: number of values, bytes unpacked, bytes packed. */
    const claiming = (name: string, sizes: readonly number[], claimed: readonly number[]) => {
      const whole = readFileSync(reference(`data/${name}.parquet`));
      const at = whole.indexOf(Buffer.from(sizes.flatMap(varint)));
      expect(at).toBeGreaterThan(0);
      const put = Buffer.from(claimed.flatMap(varint));
      const grown = put.length - sizes.flatMap(varint).length;
      const after = whole.subarray(at + sizes.flatMap(varint).length);
      const bytes = Buffer.concat([whole.subarray(0, at), put, after]);
      bytes.writeUInt32LE(whole.readUInt32LE(whole.length - 8) + grown, bytes.length - 8);
      return file('large.parquet', bytes);
    };
    const remedy =
      /large\.parquet: .*over 1 GiB in the column (\S+), .*smaller row groups \(in pandas: df\.to_parquet\(path, row_group_size=50000\)\), or give JSONL/;

    it.each<[string, string, string, number[], number[]]>([
      [
        'a column of lists',
        'messages',
        'messages.list.element.content',
        [9, 165, 165],
        [9, 1.5 * 2 ** 30, 165],
      ],
      ['another one', 'messages', 'messages.list.element.role', [9, 104, 108], [9, 2 ** 30 + 1, 108]],
      ['what is compressed', 'pairs-snappy', 'prompt', [2, 134, 121], [2, 2 ** 31, 2 ** 30 + 1]],
      ['what is not compressed', 'pairs-none', 'completion', [2, 70, 70], [2, 2 ** 31, 2 ** 31]],
    ])('refuses %s with the remedy', async (_, name, column, sizes, claimed) => {
      const message = await refusal(prepare([claiming(name, sizes, claimed)]));
      expect(remedy.exec(message)?.[1], message).toBe(column);
    });

    it('reads compressed texts in parts', async () => {
      const values = async (path: string) => {
        const rows = [];
        for await (const row of readRows(path)) rows.push(row.values);
        return rows;
      };
      const whole = await values(reference('data/pairs-snappy.parquet'));
      for (const unpacked of [2 ** 30 + 1, 2 ** 34])
        expect(await values(claiming('pairs-snappy', [2, 134, 121], [2, unpacked, 121]))).toEqual(whole);
    });
  });

  it('skips malformed rows on request, and says which', async () => {
    const path = file('some.jsonl', '{"text":"a b"}\n{"text":\n{"text":"c d"}\n{"text":""}\n{"text":7}\n');
    const dataset = await prepare([path], { malformed: 'drop' });
    expect(dataset.size).toBe(2);
    expect(dataset.report).toMatchObject({ rows: 5, examples: 2 });
    const reasons = Object.fromEntries(dataset.report.dropped.map(({ reason, rows }) => [reason, rows]));
    expect(reasons).toEqual({ malformed: 2, 'nothing trained': 1 });
    expect(dataset.report.dropped[0]!.first[0]).toContain(`${path}:2: not valid JSON`);
    await dataset.close();
    // A file of another form is wrong as a whole.
    const other = prepare([file('other.jsonl', '{"a":1}\n{"a":2}')], { malformed: 'drop' });
    expect(await refusal(other)).toContain('no known form');
  });
});

describe('tokenized data on disk', () => {
  const rows = (count: number) =>
    Array.from(
      { length: count },
      (_, i) => `{"prompt":"${'q'.repeat(i % 7)} ${i}","completion":"a ${i}"}`,
    ).join('\n');

  it('is reused, and rebuilt when any option that affects it changes', async () => {
    const path = file('rows.jsonl', rows(50));
    const store = join(folder, 'store');
    const first = await prepare([path], { folder: store });
    const again = await prepare([path], { folder: store });
    expect([first.reused, again.reused]).toEqual([false, true]);
    expect(again.identity).toBe(first.identity);
    expect(again.report).toEqual(first.report);
    let trained = 0;
    for (let i = 0; i < first.size; i++) {
      expect(await again.read(i)).toEqual(await first.read(i));
      expect(again.length(i)).toBe((await again.read(i)).ids.length);
      trained += (await again.read(i)).trained.reduce((sum, one) => sum + one, 0);
    }
    expect(trained).toBe(first.trainedTokens);
    expect(first.report.trainedTokens).toBe(trained);
    const others: Partial<PrepareOptions>[] = [
      { maxLength: 100 },
      { trainOn: 'all' },
      { tooLong: 'drop' },
      { malformed: 'drop' },
      { template: new ChatTemplate(`${marked.source} `, 'other') },
      { tokenizer: tokenizerOf('pieces') },
      { columns: { prompt: 'completion', completion: 'prompt' } },
    ];
    for (const options of others) {
      const other = await prepare([path], { folder: store, ...options });
      expect(other.reused).toBe(false);
      expect(other.identity).not.toBe(first.identity);
      await other.close();
    }
    await first.close();
    await again.close();
  });

  it('is rebuilt when it is damaged, and later damage is reported', async () => {
    const path = file('rows.jsonl', rows(50));
    const store = join(folder, 'damaged');
    const first = await prepare([path], { folder: store });
    const expected = await first.read(17);
    await first.close();
    const whole = readFileSync(first.path);
    const spoil = (change: (bytes: Buffer) => Buffer) =>
      writeFileSync(first.path, change(Buffer.from(whole)));
    const changes: ((bytes: Buffer) => Buffer)[] = [
      (bytes) => bytes.subarray(0, bytes.length - 1),
      (bytes) => bytes.subarray(0, 3),
      () => Buffer.alloc(0),
      () =>
        Buffer.from(
          'something else entirely, and long enough to have a trailer of sixty-four bytes, or a hundred',
        ),
      (bytes) => {
        bytes[bytes.length - 100]! ^= 1;
        return bytes;
      },
      (bytes) => {
        bytes.writeBigUInt64LE(2n ** 60n, bytes.length - 64);
        return bytes;
      },
    ];
    for (const change of changes) {
      spoil(change);
      const made = await prepare([path], { folder: store });
      expect(made.reused).toBe(false);
      expect(await made.read(17)).toEqual(expected);
      await made.close();
      expect(readFileSync(first.path).equals(whole)).toBe(true);
    }
    // Within the tokens: found when they are read.
    spoil((bytes) => {
      bytes[16 + 5]! ^= 1;
      return bytes;
    });
    const late = await prepare([path], { folder: store });
    expect(await refusal(late.read(0))).toContain('damaged');
    await late.close();
  });

  it('leaves nothing behind when writing fails', async () => {
    const store = join(folder, 'failed');
    await refusal(prepare([file('bad.jsonl', `${rows(20)}\nno`)], { folder: store }));
    expect(existsSync(store)).toBe(false);
    await refusal(prepare([file('empty.jsonl', '{"text":""}')], { folder: store }));
    expect(existsSync(store)).toBe(false);
    const changing = file('changing.jsonl', rows(50));
    const changed = prepare([changing], {
      folder: store,
      onProgress: ({ rows: read }) => read === 30 && writeFileSync(changing, rows(51)),
    });
    expect(await refusal(changed)).toContain('changing.jsonl changed while it was being read');
    expect(existsSync(store)).toBe(false);
    const controller = new AbortController();
    const stopped = prepare([file('rows.jsonl', rows(50))], {
      folder: store,
      signal: controller.signal,
      onProgress: ({ rows: read }) => read === 30 && controller.abort(),
    });
    await expect(stopped).rejects.toThrow(/abort/i);
    expect(existsSync(store)).toBe(false);
  });

  it('reports lengths, truncations and dropped rows', async () => {
    const texts = [10, 3, 50, 80].map((n) => JSON.stringify({ text: 'é'.repeat(n) }));
    const lengths = [10, 3, 50, 80].map(
      (n) => encodeExample({ text: 'é'.repeat(n) }, { tokenizer, trainOn: 'all' }).ids.length,
    );
    const path = file('lengths.jsonl', texts.join('\n'));
    const sorted = [...lengths].sort((a, b) => a - b);
    const maxLength = sorted[2]!;
    const cut = await prepare([path], { maxLength, tooLong: 'truncate' });
    expect(cut.report.lengths).toMatchObject({
      min: sorted[0],
      max: sorted[3],
      median: sorted[1],
      p99: sorted[3],
    });
    expect(cut.report.lengths.mean).toBeCloseTo(lengths.reduce((a, b) => a + b) / 4);
    expect(cut.report.truncated).toEqual({ examples: 1, tokens: sorted[3]! - maxLength });
    expect(cut.tokens).toBe(lengths.reduce((a, b) => a + Math.min(b, maxLength), 0));
    await cut.close();
    const dropped = await prepare([path], { maxLength, tooLong: 'drop' });
    expect(dropped.size).toBe(3);
    expect(dropped.report.dropped).toEqual([{ reason: 'too long', rows: 1, first: [`${path}:4`] }]);
    await dropped.close();
    const long = file('long.jsonl', JSON.stringify({ prompt: 'x'.repeat(500), completion: 'y' }));
    expect(await refusal(prepare([long]))).toMatch(
      /none of the 1 rows.*1 nothing trained \(.*long\.jsonl:1\).*maxLength/,
    );
  });
});

describe('a dataset of the hub', () => {
  let hub: FakeHub;
  const train = Buffer.from('{"text":"a b c"}\n');
  beforeAll(async () => {
    hub = await startHub({
      'datasets/acme/chats': {
        commit: COMMIT,
        files: {
          'README.md': Buffer.from('read me'),
          'dataset_infos.json': Buffer.from('{}'),
          'data/train-00000-of-00002.parquet': readFileSync(reference('data/messages.parquet')),
          'data/train-00001-of-00002.parquet': readFileSync(reference('data/messages.parquet')),
          'data/test-00000-of-00001.parquet': readFileSync(reference('data/pairs-none.parquet')),
        },
      },
      'datasets/acme/plain': { commit: COMMIT, files: { 'x.jsonl': train, 'run.py': Buffer.from('1/0') } },
      'datasets/acme/mixed': { commit: COMMIT, files: { 'x.jsonl': train, 'y.csv': Buffer.from('text\na') } },
    });
  });
  afterAll(() => hub.close());
  const options = () => ({ endpoint: hub.endpoint, cache: join(folder, 'hub'), offline: false });

  it('is downloaded once: its training split, into the cache shared with Python', async () => {
    const paths = await resolveData(['acme/chats'], options());
    const snapshot = join(folder, 'hub/datasets--acme--chats/snapshots', COMMIT);
    expect(paths).toEqual([0, 1].map((i) => join(snapshot, `data/train-0000${i}-of-00002.parquet`)));
    const dataset = await prepare(paths);
    expect(dataset.size).toBe(6);
    await dataset.close();
    const asked = hub.requests.length;
    expect(await resolveData(['acme/chats'], options())).toEqual(paths);
    expect(await resolveData(['acme/chats'], { ...options(), offline: true })).toEqual(paths);
    expect(hub.requests.length).toBe(asked);
    expect(hub.requests.every(({ url }) => /^\/(api\/)?datasets\/acme\/chats\//.test(url))).toBe(true);
    const test = await resolveData(['acme/chats:data/test-00000-of-00001.parquet'], options());
    expect(test).toEqual([join(snapshot, 'data/test-00000-of-00001.parquet')]);
  });

  it('is read whole without a split, and where that is ambiguous a name is asked for', async () => {
    expect((await resolveData(['acme/plain'], options())).map((path) => path.split('/').at(-1))).toEqual([
      'x.jsonl',
    ]);
    expect(await refusal(resolveData(['acme/mixed'], options()))).toMatch(/name one.*x\.jsonl, y\.csv/);
    expect(await refusal(resolveData(['acme/mixed:z'], options()))).toMatch(/no data file "z"/);
    expect(await refusal(resolveData(['acme/none'], options()))).toMatch(/no dataset "acme\/none"/);
    const offline = resolveData(['acme/other'], { ...options(), offline: true });
    expect(await refusal(offline)).toMatch(/dataset acme\/other.*offline/);
    expect(await refusal(resolveData(['./none'], options()))).toMatch(/no such file or folder/);
  });
});

describe('packing rows', () => {
  it.each(FAMILIES)('leaves the loss of every token as it is in a row of its own: %s', async (name) => {
    const opened = await openModel(reference(name));
    const { model } = opened;
    const weights = new Map(
      [...model.parameters()].map(([path, { size }]) => [path, new Float32Array(size)]),
    );
    await readWeights(opened, weights);
    await opened.checkpoint.tensors.close();
    const parameters = Object.fromEntries(
      [...model.parameters()].map(([path, { shape }]) => [path, { data: weights.get(path)!, shape }]),
    );
    const random = new Random(5);
    const examples = Array.from({ length: 14 }, () => {
      const length = 2 + random.nextInt(17);
      const ids = Int32Array.from({ length }, () => 1 + random.nextInt(95));
      return { ids, trained: Uint8Array.from(ids, (_, i) => (i > 0 ? random.nextInt(2) : 0)) };
    });
    const view = datasetOf(examples, name);
    const engine = nodeEngine({ threads: 1 });
    /** The loss of every trained token by the tokens up to it, which say which one it is. */
    const lossesOf = async (batch: number, pack: boolean) => {
      const seq = 24;
      const shape = { batch, seq, packed: pack };
      const { perToken } = lossGraph(model, shape);
      const executable = await Executable.compile(engine, new Map([['losses', perToken]]));
      const source = new PackedSource(view, { batch, seq, pack, seed: 2 });
      const losses = new Map<string, number>();
      for (let i = 0; i < source.batchesPerEpoch; i++) {
        const rows = await source.next();
        const fed = { ...contextFeeds(rows, shape), ...lossFeeds(rows, 1), ...parameters };
        const { losses: given } = await executable.run(fed);
        const found = given!.data as Float32Array;
        for (const [at, weight] of rows.weights.entries()) {
          const start = at - rows.positions[at]!;
          const key = [...rows.inputs.subarray(start, at + 1), rows.targets[at]].join();
          if (weight > 0) losses.set(key, found[at]!);
        }
      }
      await executable.release();
      return losses;
    };
    const alone = await lossesOf(1, false);
    const packed = await lossesOf(2, true);
    const trained = examples.reduce((sum, { trained }) => sum + trained.reduce((a, b) => a + b, 0), 0);
    expect(alone.size).toBeGreaterThan(trained - 5); // beginnings that two examples share are one
    expect([...packed.keys()].sort()).toEqual([...alone.keys()].sort());
    for (const [key, loss] of packed) expect(Math.abs(loss - alone.get(key)!)).toBeLessThan(1e-5);
  });
});

describe('ropewalk data preview', () => {
  const pairs = fixture('korean-chatbot-pairs.csv');
  const small = mkdtempSync(join(tmpdir(), 'ropewalk-preview-'));
  afterAll(() => rmSync(small, { recursive: true, force: true }));
  beforeAll(() => {
    writeFileSync(join(small, 'tokenizer.json'), JSON.stringify(tokenizers.byteLevel));
    writeFileSync(
      join(small, 'tokenizer_config.json'),
      JSON.stringify({ ...names, chat_template: marked.source }),
    );
  });

  it('marks the trained tokens and prints a report', async () => {
    const path = reference('data/messages.parquet');
    const plain = await ropewalk(['data', 'preview', small, '--data', path, '--rows', '1', '--from', '3']);
    expect(plain.stdout).toContain(
      '⟪<|start|>⟫user\n안녕⟪<|end|>⟫\n⟪<|start|>⟫assistant\n⟦반가워요⟪<|end|>⟫⟧',
    );
    expect(plain.stdout).toMatch(/rows +3, of which 3 are examples/);
    const json = await ropewalk(['data', 'preview', small, '--data', path, '--rows', '1', '--json']);
    const { examples, report } = JSON.parse(json.stdout);
    expect(report).toMatchObject({ rows: 3, examples: 3 });
    expect(examples).toHaveLength(1);
    expect(examples[0].runs).toContainEqual({ text: 'Hi!', trained: true });
    expect(examples[0].runs).toContainEqual({ text: '<|end|>', trained: true, special: true });
  });

  it('writes the text unchanged into a file or a pipe, and control pictures to a terminal', async () => {
    const evil = file('evil.jsonl', JSON.stringify({ prompt: '\x1b[2Jx', completion: '\x07y' }));
    const { stdout } = await ropewalk(['data', 'preview', small, '--data', evil]);
    expect(stdout).toContain('\x1b[2Jx');
    expect(stdout).toContain('\x07y');
    expect(stdout).not.toMatch(/[\u2400-\u241f]/);
    const { isTTY } = process.stdout;
    try {
      process.stdout.isTTY = true;
      expect(forOutput('\x1b[2Jx\x07y')).toBe('␛[2Jx␇y');
      process.stdout.isTTY = false;
      expect(forOutput('\x1b[2Jx\x07y')).toBe('\x1b[2Jx\x07y');
    } finally {
      process.stdout.isTTY = isTTY;
    }
  });

  it('reports an error in one line', async () => {
    const bad = await ropewalk(['data', 'preview', small, '--data', file('bad.jsonl', '{')]);
    expect(bad.code).toBe(1);
    expect(bad.stderr).toMatch(/^ropewalk: .*bad\.jsonl:1: not valid JSON/);
  });

  it('reads the Korean pairs by the names of their columns', async () => {
    const args = ['--prompt-column', 'Q', '--completion-column', 'A', '--rows', '1', '--json'];
    const { stdout } = await ropewalk(['data', 'preview', small, '--data', pairs, ...args]);
    const { examples, report } = JSON.parse(stdout);
    expect(report.rows).toBe(400);
    expect(report.dropped).toEqual([]);
    const trained = examples[0].runs.filter((run: { trained: boolean }) => run.trained);
    expect(trained.map((run: { text: string }) => run.text)).toEqual(['하루가 또 가네요.', '<|end|>']);
  });

  it('never splits a character of several tokens', () => {
    const ids = Int32Array.from(tokenizer.encode('a😀b', { addSpecialTokens: false }));
    expect(ids.length).toBeGreaterThan(4);
    const trained = Uint8Array.from(ids, (_, i) => (i >= 3 ? 1 : 0));
    expect(previewRuns(tokenizer, { ids, trained })).toEqual([
      { text: 'a', trained: false },
      { text: '😀b', trained: true },
    ]);
  });
});
