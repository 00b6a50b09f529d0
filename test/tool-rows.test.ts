import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { encodeChat } from '../src/chat/encode.ts';
import { ChatTemplate } from '../src/chat/template.ts';
import { encodeExample } from '../src/data/encode-example.ts';
import { examplesOf } from '../src/data/examples.node.ts';
import { previewRuns } from '../src/data/preview.ts';
import { rowReader } from '../src/data/row-form.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';

type Named = string | Readonly<Record<string, string>>;
type Row = Record<string, unknown>;

/** Texts, ids and masks of transformers: test/reference/make_tool_rows.py. */
const reference = JSON.parse(readFileSync(new URL('reference/tool-rows.json', import.meta.url), 'utf8')) as {
  tokenizer: unknown;
  templates: Record<string, [plain: Named, generation: Named]>;
  rows: Record<string, Row>;
  cases: { template: string; row: string; text: string; ids: number[]; trained: number[] }[];
};
const tokenizer = Tokenizer.fromJSON(reference.tokenizer, { bos_token: '<bos>', eos_token: '<eos>' });
const folder = mkdtempSync(join(tmpdir(), 'ropewalk-tool-rows-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const templateOf = (source: Named): ChatTemplate => {
  const named =
    typeof source === 'string'
      ? source
      : Object.entries(source).map(([name, template]) => ({ name, template }));
  return ChatTemplate.fromConfig({ chat_template: named }, 'the template')!;
};
const examples = async (rows: readonly Row[], template: ChatTemplate) => {
  const path = join(folder, 'rows.jsonl');
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join('\n'));
  const all = [];
  for await (const one of examplesOf({ tokenizer, template, maxLength: 4000, files: [path] })) all.push(one);
  return all;
};
const runsOf = (trained: ArrayLike<number>) => {
  const marks = [0, ...Array.from(trained), 0];
  return marks.flatMap((one, i) => (i > 0 && one !== marks[i - 1] ? [i - 1] : []));
};
const refusal = async (row: Row, template = templateOf(reference.templates.hermes![0])) => {
  const good = {
    messages: [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ],
  };
  const error = await examples([good, row], template).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect((error as Error | undefined)?.name).toBe('RopewalkError');
  return (error as Error).message;
};

describe('training rows with tools, documents and content parts', () => {
  it.each(reference.cases)(
    '$row by the template $template has the ids and mask of transformers',
    async (one) => {
      const row = reference.rows[one.row]!;
      for (const source of reference.templates[one.template]!) {
        const template = templateOf(source);
        const [example] = await examples([row], template);
        expect(tokenizer.decode([...example!.ids], { skipSpecialTokens: false })).toBe(one.text);
        expect([...example!.ids]).toEqual(one.ids);
        expect(runsOf(example!.trained)).toEqual(one.trained);
        const shown = previewRuns(tokenizer, example!);
        expect(shown.map(({ text }) => text).join('')).toBe(one.text);
      }
    },
  );

  it('keep special tokens spelled in arguments and documents as plain text', () => {
    const call = { function: { name: 'look', arguments: { at: '<|im_end|>' } } };
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: null, tool_calls: [call] },
    ] as const;
    const template = templateOf(reference.templates.hermes![0]);
    const { ids } = encodeExample({ messages, from: 0 }, { tokenizer, template, trainOn: 'assistant' });
    const end = tokenizer.tokenToId('<|im_end|>');
    expect([...ids].filter((id) => id === end)).toHaveLength(2);
    expect([...ids]).toEqual(encodeChat(tokenizer, template, messages));
  });
});

describe('training rows are refused with file and line', () => {
  const plain = new ChatTemplate('{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}', 'it');
  const rag = templateOf(reference.templates.rag![0]);
  const { rows } = reference;

  it.each<[string, Row, ChatTemplate, RegExp]>([
    [
      'tool calls beside text',
      { messages: (rows['text and calls'] as { messages: unknown }).messages },
      plain,
      /the tool calls of message 2/,
    ],
    ['tool calls', rows['no tools']!, plain, /the tool calls of message 2/],
    ['tools', { ...rows.plain, tools: rows['null content']!.tools }, plain, /does not write the tools/],
    ['documents', rows.documents!, plain, /does not write the documents/],
    ['parts', rows.parts!, plain, /message 1 has its content in parts/],
    [
      'tools by a template of documents',
      { ...rows.plain, tools: rows['null content']!.tools },
      rag,
      /does not write the tools/,
    ],
  ])('when the template does not write %s', async (_, row, template, problem) => {
    const message = await refusal(row, template);
    expect(message).toMatch(/rows\.jsonl:2: /);
    expect(message).toMatch(problem);
  });

  const chat = rows.plain!.messages as Row[];
  const share = (from: string, value: unknown) => ({
    conversations: [
      { from: 'human', value: 'q' },
      { from, value },
    ],
  });
  it.each<[string, Row, RegExp]>([
    [
      'tools that are no JSON',
      { messages: chat, tools: 'weather' },
      /the field tools holds a text that is not JSON/,
    ],
    [
      'tools that are no objects',
      { messages: chat, tools: ['weather'] },
      /the field tools is not a list of objects; give \[/,
    ],
    ['one tool', { messages: chat, tools: { name: 'weather' } }, /the field tools is not a list/],
    [
      'documents that are texts',
      { messages: chat, documents: ['a'] },
      /the field documents is not a list of objects/,
    ],
    [
      'calls that are no list',
      { messages: [{ role: 'assistant', content: 'a', tool_calls: '{}' }] },
      /message 1 .*"tool_calls" that is not a list/,
    ],
    [
      'calls that are no JSON',
      { messages: [{ role: 'assistant', content: 'a', tool_calls: 'x' }] },
      /tool_calls of message 1 holds a text that is not JSON/,
    ],
    [
      'the older form of a call',
      {
        messages: [
          ...chat,
          { role: 'assistant', content: null, function_call: { name: 'a', arguments: '{}' } },
        ],
      },
      /message 5 .*"function_call", the older form/,
    ],
    ['null without calls', { messages: [{ role: 'user', content: null }] }, /message 1 .*not a string/],
    [
      'a picture',
      { messages: [{ role: 'user', content: [{ type: 'image', image: 'x' }] }] },
      /message 1 .*is not text \("image"\)/,
    ],
    [
      'the role function',
      { messages: [...chat, { role: 'function', name: 'a', content: '1' }] },
      /message 5 .*the role "function"/,
    ],
    ['an unknown ShareGPT role', share('narrator', 'x'), /message 2 .*the role "narrator"/],
    [
      'a function_call that is no JSON',
      share('function_call', 'look here'),
      /value of message 2 holds a text that is not JSON/,
    ],
    [
      'a function_call without arguments',
      share('function_call', '{"name":"a"}'),
      /message 2 is a function_call whose value/,
    ],
  ])('when they have %s', async (_, row, problem) => {
    const message = await refusal(row);
    expect(message).toMatch(/rows\.jsonl:2: /);
    expect(message).toMatch(problem);
  });
});

it('a ShareGPT row with several calls keeps names and weights of 1 in its messages', () => {
  const value = '[{"name":"a","arguments":{}},{"name":"b","arguments":"{}"}]';
  const row = {
    conversations: [
      { from: 'function_call', value },
      { from: 'function_response', value: '1', name: 'a' },
    ],
  };
  expect(rowReader(row).read(row)).toEqual({
    from: 0,
    messages: [
      {
        role: 'assistant',
        content: '',
        tool_calls: [
          { type: 'function', function: { name: 'a', arguments: {} } },
          { type: 'function', function: { name: 'b', arguments: '{}' } },
        ],
      },
      { role: 'tool', content: '1', name: 'a' },
    ],
  });
  const weighed = {
    messages: [{ role: 'assistant', content: 'a', weight: 1, reasoning_content: 'r', tool_calls: null }],
  };
  expect(rowReader(weighed).read(weighed)).toEqual({
    from: 0,
    messages: [{ role: 'assistant', content: 'a', reasoning_content: 'r' }],
  });
});
