import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { ChatTemplate } from '../src/chat/template.ts';
import { encodeExample } from '../src/data/encode-example.ts';
import { type DataExample, type ExampleOptions, examplesOf } from '../src/data/examples.node.ts';
import { previewRuns } from '../src/data/preview.ts';
import { readRows } from '../src/data/reading/read-rows.node.ts';
import { resolveData } from '../src/data/reading/resolve-data.node.ts';
import { dataNotes, ReportBuilder } from '../src/data/report.ts';
import { type DataColumns, rowReader } from '../src/data/row-form.ts';
import { RopewalkError } from '../src/errors.ts';
import { encodeCorpus } from '../src/text/corpus.ts';
import { readTextFiles } from '../src/text/files.node.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { ROOT } from './helpers/cli.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-rows-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const readJson = (name: string) => JSON.parse(readFileSync(join(ROOT, 'test', name), 'utf8'));
/** By pandas and datasets: see the script beside it. */
const expected = readJson('faults/rows/expected.json') as {
  tables: Record<string, { text: string; rows: Record<string, string>[] }>;
  folders: Record<string, { files: string[]; training: string[] }>;
};
const tokenizer = Tokenizer.fromJSON(readJson('reference/chat.json').tokenizers.byteLevel, {
  bos_token: '<bos>',
  eos_token: '<eos>',
});
const template = new ChatTemplate(
  "{% for m in messages %}{{ '<|start|>' + m.role + '\n' + m.content + '<|end|>' }}{% endfor %}",
  'plain',
);

const write = (name: string, content: string | Uint8Array) => {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
};
const all = async <T>(items: AsyncIterable<T>) => {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
};
const values = async (path: string) => (await all(readRows(path))).map((row) => row.values ?? row.problem);
const examples = async (
  path: string,
  options: Partial<ExampleOptions> = {},
  report = new ReportBuilder(),
): Promise<DataExample[]> =>
  all(examplesOf({ tokenizer, template, maxLength: 200, files: [path], ...options }, report));
/** What rows become, by a reader that the first of them makes. */
const turns = (rows: Record<string, unknown>[], columns?: DataColumns) => {
  const reader = rowReader(rows[0]!, columns);
  const read = rows.map((row) => {
    const text = reader.read(row);
    return 'text' in text ? text.text : text.messages.map(({ role, content }) => `${role}: ${content}`);
  });
  reader.finish();
  return read;
};
const message = async (work: () => unknown) => {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(RopewalkError);
    return (error as Error).message;
  }
  throw new Error('it was not refused');
};

describe('optional columns of a data file', () => {
  it('are looked up in each row, whatever the first one has', () => {
    const rows = [
      { instruction: 'Say hello.', output: 'Hello!' },
      { instruction: 'Translate to French.', input: 'Good morning', output: 'Bonjour' },
      { instruction: 'Add.', context: '2 and 3', output: '5', system: 'Be brief.' },
      { instruction: 'Say bye.', input: '', output: 'Bye', system: null },
    ];
    expect(turns(rows)).toEqual([
      ['user: Say hello.', 'assistant: Hello!'],
      ['user: Translate to French.\n\nGood morning', 'assistant: Bonjour'],
      ['system: Be brief.', 'user: Add.\n\n2 and 3', 'assistant: 5'],
      ['user: Say bye.', 'assistant: Bye'],
    ]);
  });

  it.each(['jsonl', 'json', 'jsonl.gz'])('are looked up in each row of a .%s', async (ending) => {
    const rows = [
      { prompt: 'a', completion: 'b' },
      { prompt: 'c', completion: 'd', system: 'Be brief.' },
    ];
    const text = ending === 'json' ? JSON.stringify(rows) : rows.map((row) => JSON.stringify(row)).join('\n');
    const path = write(`late.${ending}`, ending.endsWith('gz') ? gzipSync(text) : text);
    const [, late] = await examples(path, { trainOn: 'all' });
    expect(tokenizer.decode([...late!.ids])).toContain('<|start|>system\nBe brief.<|end|>');
  });

  it('may first appear late when named, but a name that no row has is refused', () => {
    const rows = [
      { instruction: 'a', output: 'b' },
      { instruction: 'c', passage: 'd', output: 'e' },
    ];
    expect(turns(rows, { input: 'passage' })[1]).toEqual(['user: c\n\nd', 'assistant: e']);
    expect(() => turns(rows, { input: 'pasage' })).toThrow('there is no column "pasage"');
  });

  it('are refused when two could be meant, with a remedy that works', () => {
    const row = { instruction: 'a', input: 'b', context: 'c', output: 'd' };
    expect(() => turns([row])).toThrow(/"input", "context" both have values.*columns: \{ input: 'input' \}/);
    expect(turns([row], { input: 'input' })).toEqual([['user: a\n\nb', 'assistant: d']]);
  });

  it('with earlier turns are placed as pairs before the prompt', () => {
    const history = [
      ['q1', 'a1'],
      ['q2', 'a2'],
    ];
    const wanted = ['user: q1', 'assistant: a1', 'user: q2', 'assistant: a2', 'user: q3', 'assistant: a3'];
    expect(turns([{ instruction: 'q3', output: 'a3', history }])).toEqual([wanted]);
    expect(turns([{ prompt: 'q3', completion: 'a3', history: JSON.stringify(history) }])).toEqual([wanted]);
    expect(() => turns([{ prompt: 'q', completion: 'a', history: [['q']] }])).toThrow('list of pairs');
  });
});

describe('a system column of a data file', () => {
  it('becomes the system turn before conversations or messages', () => {
    const conversations = [
      { from: 'human', value: 'h' },
      { from: 'gpt', value: 'g' },
    ];
    const messages = [
      { role: 'user', content: 'h' },
      { role: 'assistant', content: 'g' },
    ];
    const wanted = ['system: You are a pirate', 'user: h', 'assistant: g'];
    expect(turns([{ conversations, system: 'You are a pirate' }])).toEqual([wanted]);
    expect(turns([{ messages, system: 'You are a pirate' }])).toEqual([wanted]);
    expect(turns([{ messages, role: 'You are a pirate' }], { system: 'role' })).toEqual([wanted]);
    expect(turns([{ messages }, { messages, system: '' }, { messages, system: 'You are a pirate' }])).toEqual(
      [wanted.slice(1), wanted.slice(1), wanted],
    );
  });

  it('is refused when it contradicts a system message, and accepted when it repeats it', () => {
    const messages = [
      { role: 'system', content: 'A' },
      { role: 'user', content: 'h' },
    ];
    expect(() => turns([{ messages, system: 'B' }])).toThrow('another one in the column system');
    expect(turns([{ messages, system: 'A' }])).toEqual([['system: A', 'user: h']]);
  });

  it('is not needed for messages given as JSON text, in which a weight of 0 is refused', () => {
    const messages = [{ role: 'user', content: 'h', weight: 0 }];
    expect(turns([{ messages: '[{"role":"user","content":"h"}]' }])).toEqual([['user: h']]);
    expect(() => turns([{ messages }])).toThrow('message 1 has the weight 0');
  });
});

describe('reading tables and texts', () => {
  it.each(Object.keys(expected.tables))('with %s gives what pandas gives', async (name) => {
    const { text, rows } = expected.tables[name]!;
    expect(await values(write('table.csv', text))).toEqual(rows);
    expect(await values(write('table.csv.gz', gzipSync(text)))).toEqual(rows);
  });

  it('ends JSON lines and texts at CR, too', async () => {
    expect(await values(write('cr.jsonl', '{"text":"a"}\r{"text":"b"}\r\r{"text":"c"}\r'))).toEqual([
      { text: 'a' },
      { text: 'b' },
      { text: 'c' },
    ]);
    expect(await values(write('cr.txt', 'a\rb\r\n\nc\u2028d'))).toEqual([
      { text: 'a' },
      { text: 'b' },
      { text: 'c\u2028d' },
    ]);
  });

  it.each([
    ['{"data":[{"text":"a"},\n{"text":"b"}]}'],
    ['{"version":"1.0","about":{"data":[1,2]},\n"data": [ {"text":"a"},{"text":"b"}], "more": 1}'],
    ['{"rows":[{"text":"a"},{"text":"b"}]}'],
    ['{"text":"a"}\n{"text":"b"}'],
  ])('finds the rows within the object of a .json: %s', async (text) => {
    expect(await values(write('within.json', text))).toEqual([{ text: 'a' }, { text: 'b' }]);
  });

  it('refuses files that are truncated or not what their name says, and says what they are', async () => {
    const cut = gzipSync('text\na\n').subarray(0, 20);
    expect(await message(() => values(write('cut.csv.gz', cut)))).toMatch(
      /cut\.csv\.gz.*not a complete gzip file/,
    );
    expect(await message(() => values(write('no.csv.gz', 'text\na')))).toMatch(
      /rename it if it is not compressed/,
    );
    const utf16 = Buffer.from('text\nhello\n', 'utf16le');
    expect(await message(() => values(write('16.csv', utf16)))).toMatch(/iconv -f UTF-16LE/);
    const marked = Buffer.concat([Buffer.from([0xff, 0xfe]), utf16]);
    expect(await message(() => values(write('16b.csv', marked)))).toMatch(/iconv -f UTF-16 -t UTF-8/);
    expect(await message(() => readTextFiles([write('16.txt', utf16)]))).toMatch(/iconv -f UTF-16LE/);
    expect(await message(() => values(write('cut.json', '{"data":[{"text":"a"},')))).toMatch(/ends within/);
  });
});

describe('a folder of data', () => {
  it.each(Object.keys(expected.folders))(
    'with %s gives the split that load_dataset trains on',
    async (name) => {
      const { files, training } = expected.folders[name]!;
      const place = mkdtempSync(join(folder, 'split-'));
      for (const file of files) {
        mkdirSync(dirname(join(place, file)), { recursive: true });
        writeFileSync(join(place, file), '{"text":"a"}\n');
      }
      writeFileSync(join(place, 'README.txt'), 'notes');
      const notes: string[] = [];
      const chosen = await resolveData([place], { onNote: (note) => notes.push(note) });
      expect(chosen).toEqual(training.map((file) => join(place, file)));
      const left = files.filter((file) => !training.includes(file));
      for (const file of left) expect(notes.join()).toContain(file);
      expect(notes.length).toBe(left.length > 0 ? 1 : 0);
    },
  );

  it('can be given by patterns of data and text files, and a folder of texts gives all of them', async () => {
    const place = mkdtempSync(join(folder, 'glob-'));
    for (const name of ['b.txt', 'a.txt', 'c.md', 'd.jsonl'])
      writeFileSync(join(place, name), `{"text":"${name}"}`);
    writeFileSync(join(place, 'empty.txt'), '');
    expect(await resolveData([join(place, '*.jsonl')])).toEqual([join(place, 'd.jsonl')]);
    expect(await message(() => resolveData([join(place, '*.csv')]))).toContain('no file matches the pattern');
    const warnings: string[] = [];
    const texts = await readTextFiles([place], { onWarning: (text) => warnings.push(text) });
    expect(texts.map(({ text }) => text)).toEqual(
      ['a.txt', 'b.txt', 'c.md'].map((name) => `{"text":"${name}"}`),
    );
    expect(warnings).toEqual([expect.stringContaining('empty.txt is empty')]);
    expect((await readTextFiles([join(place, '?.txt')])).length).toBe(2);
    writeFileSync(join(place, 'x.txt.gz'), gzipSync('packed'));
    expect((await readTextFiles([join(place, 'x.txt.gz')]))[0]!.text).toBe('packed');
  });
});

describe('plain texts that spell special tokens', () => {
  const rendered = '<|start|>user\nHi<|end|>\n<|start|>assistant\nHello<|end|>';
  const special = (ids: Iterable<number>) => [...ids].filter((id) => tokenizer.isSpecial(id)).length;

  it('are encoded with them by default, and as plain letters on request', async () => {
    const path = write('rendered.jsonl', JSON.stringify({ text: rendered }));
    const report = new ReportBuilder();
    const [one] = await examples(path, {}, report);
    const inner = tokenizer.encode(rendered, { addSpecialTokens: false });
    expect([...one!.ids]).toEqual([tokenizer.bosId, ...inner, tokenizer.eosId]);
    expect(special(one!.ids)).toBe(6);
    expect(dataNotes(report.build(200)).join()).toMatch(
      /1 text spells special tokens, such as <\|start\|>.*become these/,
    );
    const letters = new ReportBuilder();
    const [two] = await examples(path, { specialTokensInText: false }, letters);
    expect(special(two!.ids)).toBe(2);
    expect(dataNotes(letters.build(200)).join()).toMatch(/look rendered.*specialTokensInText: true/);
    const runs = previewRuns(tokenizer, two!).filter((run) => run.special);
    expect(runs.map(({ text }) => text)).toEqual(['<bos>', '<eos>']);
  });

  it('get no second bos or eos, even with trailing white space', () => {
    for (const text of ['<bos>a<eos>', '<bos>a<eos>\n', 'a<eos>', 'a']) {
      const { ids } = encodeExample({ text }, { tokenizer, trainOn: 'assistant' });
      expect([...ids].filter((id) => id === tokenizer.bosId).length, text).toBe(1);
      expect([...ids].filter((id) => id === tokenizer.eosId).length, text).toBe(1);
    }
  });

  it('are encoded alike in a corpus', () => {
    const options = { beginOfDocument: tokenizer.bosId!, endOfDocument: tokenizer.eosId! };
    for (const text of [rendered, '<bos>a<eos>\n', 'plain']) {
      for (const specialTokensInText of [true, false]) {
        const { ids } = encodeExample({ text }, { tokenizer, trainOn: 'assistant', specialTokensInText });
        expect([...encodeCorpus(tokenizer, text, { ...options, specialTokensInText })]).toEqual([...ids]);
      }
    }
  });
});

describe('training on texts longer than a row', () => {
  it('continues them in further rows, where every token except the first is trained once', async () => {
    const text = 'the rope walk '.repeat(60);
    const path = write('long.jsonl', `${JSON.stringify({ text })}\n${JSON.stringify({ text: 'short' })}`);
    const whole = encodeExample({ text }, { tokenizer, trainOn: 'assistant' });
    for (const maxLength of [2, 7, 64, whole.ids.length - 1, whole.ids.length]) {
      const report = new ReportBuilder();
      const parts = (await examples(path, { maxLength }, report)).filter(({ where }) => where.endsWith(':1'));
      expect(parts.length).toBe(Math.ceil((whole.ids.length - 1) / (maxLength - 1)));
      expect(parts.flatMap(({ ids }, i) => [...ids].slice(i === 0 ? 0 : 1))).toEqual([...whole.ids]);
      const marks = parts.flatMap(({ trained }, i) => [...trained].slice(i === 0 ? 0 : 1));
      expect(marks).toEqual([...whole.trained]);
      for (const { ids, trained } of parts) {
        expect(ids.length).toBeLessThanOrEqual(maxLength);
        expect(trained[0]).toBe(0);
      }
      expect(report.build(maxLength).continued.rows).toBeGreaterThanOrEqual(parts.length > 1 ? 1 : 0);
    }
  });

  it('cuts them or leaves them out on request, and never splits chats', async () => {
    const path = write('cut.jsonl', JSON.stringify({ text: 'walk '.repeat(80) }));
    expect(
      (await examples(path, { maxLength: 20, tooLong: 'truncate' })).map(({ ids }) => ids.length),
    ).toEqual([20]);
    expect(await examples(path, { maxLength: 20, tooLong: 'drop' })).toEqual([]);
    const chat = write('chat.jsonl', JSON.stringify({ prompt: 'a', completion: 'b '.repeat(90) }));
    expect((await examples(chat, { maxLength: 40 })).length).toBe(1);
  });

  it('reports progress as a share of the bytes of all files', async () => {
    const lines = Array.from({ length: 400 }, (_, i) => JSON.stringify({ text: `${i} `.repeat(1200) })).join(
      '\n',
    );
    const shares: number[] = [];
    const files = [write('p1.jsonl', lines), write('p2.jsonl.gz', gzipSync(lines))];
    const onProgress = ({ share }: { share: number }) => shares.push(share);
    await all(examplesOf({ tokenizer, template, maxLength: 50, tooLong: 'drop', files, onProgress }));
    expect(shares.every((share, i) => share >= (shares[i - 1] ?? 0) && share <= 1)).toBe(true);
    expect(new Set(shares).size).toBeGreaterThan(2);
    expect(shares.at(-1)).toBe(1);
  });
});
