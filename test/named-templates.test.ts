import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTokenizer } from '../src/checkpoint/tokenizer.node.ts';
import { RopewalkError } from '../src/errors.ts';
import type { LanguageModel } from '../src/generation/language-model.ts';
import { load } from '../src/generation/load.node.ts';
import { loadHere } from '../src/generation/load-here.node.ts';
import type { LocalModel } from '../src/generation/local-model.ts';
import { ropewalk } from './helpers/cli.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';

/** Templates for tools and documents beside the default one, in a chat and in what training and export save. */

const { folder, remove } = scratch('named');
afterAll(remove);
const model = join(folder, 'model');
const many = join(folder, 'many');
const PLAIN = '{% for m in messages %}{{ m.content }}{% endfor %}';
const TOOLS = `{{ tools | tojson }}${PLAIN}`;
const RAG = `{% for d in documents or [] %}{{ d.title }}: {{ d.text }}\n{% endfor %}${PLAIN}`;
const tools = [{ type: 'function', function: { name: 'look' } }];
const toolsText = '[{"type": "function", "function": {"name": "look"}}]';
const documents = [{ title: 'a', text: 'rope' }];
const messages = [{ role: 'user', content: 'hi' }] as const;
const named = [
  { name: 'default', template: PLAIN },
  { name: 'rag', template: RAG },
  { name: 'tool_use', template: TOOLS },
];

const readConfig = (path: string) =>
  JSON.parse(readFileSync(join(path, 'tokenizer_config.json'), 'utf8')) as Record<string, unknown>;
const setTemplate = (path: string, chat_template: unknown) =>
  writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify({ ...readConfig(path), chat_template }));

let models: [LocalModel, LanguageModel, LocalModel, LanguageModel];
beforeAll(async () => {
  await saveUntrained(model, { max_position_embeddings: 256 });
  await saveUntrained(many, { max_position_embeddings: 256 });
  setTemplate(model, PLAIN);
  setTemplate(many, 'an older default');
  writeFileSync(join(many, 'chat_template.jinja'), PLAIN);
  mkdirSync(join(many, 'additional_chat_templates'));
  writeFileSync(join(many, 'additional_chat_templates', 'tool_use.jinja'), TOOLS);
  writeFileSync(join(many, 'additional_chat_templates', 'rag.jinja'), RAG);
  writeFileSync(join(many, 'additional_chat_templates', 'notes.txt'), 'no template');
  models = [
    await loadHere(model, { threads: 1 }),
    await load(model, { threads: 1 }),
    await loadHere(many, { threads: 1 }),
    await load(many, { threads: 1 }),
  ];
});
afterAll(async () => {
  for (const one of models ?? []) await one.release();
});

const textOf = async (pieces: AsyncIterable<string>) => {
  let text = '';
  for await (const piece of pieces) text += piece;
  return text;
};
const settings = { maxTokens: 12, greedy: true, stopTokens: [] } as const;

describe('model.chat with tools and documents', () => {
  it('passes them to a template that uses them, also in a worker thread', async () => {
    for (const one of models.slice(0, 2)) {
      const call = textOf(one!.chat(messages, { ...settings, template: TOOLS, tools }));
      expect(await call).toBe(await textOf(one!.generate(`${toolsText}hi`, settings)));
      const resting = textOf(one!.chat(messages, { ...settings, template: RAG, documents }));
      expect(await resting).toBe(await textOf(one!.generate('a: rope\nhi', settings)));
    }
  });

  it('refuses them by name with a template that does not, also in a worker thread', async () => {
    for (const one of models.slice(0, 2)) {
      const refused = async (options: object) => textOf(one!.chat(messages, { ...settings, ...options }));
      for (const [options, text] of [
        [{ tools }, /does not write the tools; .*use a template that supports tools/],
        [{ documents }, /does not write the documents; .*use a template that supports documents/],
        [{ template: RAG, documents, tools }, /does not write the tools/],
      ] as const) {
        const error = await refused(options).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(RopewalkError);
        expect((error as Error).message).toMatch(text);
      }
    }
  });

  it('uses the template for tools when tools are given, otherwise the default, or another one by name', async () => {
    for (const one of models.slice(2)) {
      const answer = (options: object) => textOf(one!.chat(messages, { ...settings, ...options }));
      const continued = (prompt: string) => textOf(one!.generate(prompt, settings));
      expect(await answer({})).toBe(await continued('hi'));
      expect(await answer({ tools })).toBe(await continued(`${toolsText}hi`));
      expect(await answer({ template: 'rag', documents })).toBe(await continued('a: rope\nhi'));
      await expect(answer({ documents })).rejects.toThrow('does not write the documents');
    }
  });
});

describe('a model with several chat templates', () => {
  it('prefers those in a folder to tokenizer_config.json, as transformers does', async () => {
    expect((await openTokenizer(many)).config.chat_template).toEqual(named);
  });

  it('is refused without a default, listing the names that exist', async () => {
    const path = join(folder, 'none');
    await saveUntrained(path, {});
    setTemplate(path, named.slice(1));
    const rows = join(folder, 'none.jsonl');
    writeFileSync(rows, JSON.stringify({ messages: [{ role: 'assistant', content: 'a' }], documents }));
    const refused = await ropewalk(['data', 'preview', path, '--data', rows]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/none is named "default"; choose one \(--template\): rag, tool_use/);
    const taken = await ropewalk(['data', 'preview', path, '--data', rows, '--template', 'rag', '--json']);
    expect(taken.code, taken.stderr).toBe(0);
    expect(taken.stdout).toContain('a: rope');
  });

  it('is refused when one leads out of the folder or is not a template, naming the file', async () => {
    const path = join(folder, 'wrong');
    await saveUntrained(path, {});
    mkdirSync(join(path, 'additional_chat_templates'));
    writeFileSync(join(path, 'additional_chat_templates', 'tool_use.jinja'), Buffer.from([0xff, 0xfe, 0xff]));
    await expect(openTokenizer(path)).rejects.toThrow(/additional_chat_templates\/tool_use\.jinja.*UTF-8/);
  });

  const small = ['--steps', '1', '--batch', '2', '--seq', '16', '--threads', '1'];
  it.each<[string, (out: string) => string[]]>([
    [
      'train --tokenizer',
      (out) => [
        'train',
        '--family',
        'llama',
        '--text',
        join(folder, 't.txt'),
        '--tokenizer',
        many,
        ...small,
        '--out',
        out,
      ],
    ],
    [
      'finetune',
      (out) => ['finetune', many, '--data', join(folder, 't.jsonl'), ...small, '--seq', '128', '--out', out],
    ],
    ['export to safetensors', (out) => ['export', many, '--to', 'hf', '--out', out]],
    ['export to ONNX', (out) => ['export', many, '--to', 'onnx', '--out', out]],
  ])('keeps them through %s', async (_, args) => {
    writeFileSync(join(folder, 't.txt'), 'the hen ran on the sand. '.repeat(90));
    const row = { messages: [...messages, { role: 'assistant', content: 'a rope' }] };
    writeFileSync(join(folder, 't.jsonl'), `${JSON.stringify(row)}\n${JSON.stringify({ ...row, tools })}\n`);
    const out = join(folder, `out${readdirSync(folder).length}`);
    const { code, stderr } = await ropewalk(args(out));
    expect(code, stderr).toBe(0);
    expect(readConfig(out).chat_template).toEqual(named);
    // A file of its own would win over the list.
    expect(readdirSync(out)).not.toContain('chat_template.jinja');
    expect((await openTokenizer(out)).config.chat_template).toEqual(named);
  });

  it('keeps them through GGUF', async () => {
    const out = join(folder, 'named.gguf');
    const { code, stderr } = await ropewalk(['export', many, '--to', 'gguf', '--out', out]);
    expect(code, stderr).toBe(0);
    expect((await openTokenizer(out)).config.chat_template).toEqual(named);
  });

  it('has all of them replaced by the one given to finetune', async () => {
    const out = join(folder, 'given');
    const template = join(folder, 'given.jinja');
    writeFileSync(template, PLAIN);
    const args = ['--data', join(folder, 't2.jsonl'), '--template', template, ...small, '--out', out];
    writeFileSync(
      join(folder, 't2.jsonl'),
      '{"prompt":"a","completion":"b"}\n{"prompt":"c","completion":"d"}',
    );
    const { code, stderr } = await ropewalk(['finetune', many, ...args]);
    expect(code, stderr).toBe(0);
    expect((await openTokenizer(out)).config.chat_template).toBe(PLAIN);
  });
});
