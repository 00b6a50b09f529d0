import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { chatStopTokens, encodeChat } from '../src/chat/encode.ts';
import type { ChatMessage } from '../src/chat/messages.ts';
import { ChatTemplate } from '../src/chat/template.ts';
import { openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { saveModelDirectory } from '../src/checkpoint/save.node.ts';
import { InteractiveChat } from '../src/cli/terminal/chat-terminal.ts';
import { CHAT_TEXTS } from '../src/cli/terminal/chat-texts.ts';
import { Conversation } from '../src/cli/terminal/conversation.ts';
import { RopewalkError } from '../src/errors.ts';
import type { CausalLM } from '../src/families/family.ts';
import { initializeWeights } from '../src/families/initialize.ts';
import { modelFromConfig } from '../src/families/registry.ts';
import {
  type ChatFunction,
  ChatMemory,
  type ChatModel,
  type ChatOptions,
  chatFunction,
  generateReply,
} from '../src/generation/chat.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import type { Decoder } from '../src/generation/decoder.ts';
import { argmax } from '../src/generation/sampler.ts';
import { fullLogits } from '../src/generation/score.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { buildProgram, ROOT, ropewalk, start } from './helpers/cli.node.ts';
import { until } from './helpers/work.node.ts';

/** Chats with small random models: what they say is nonsense, but it is the same nonsense by every way. */

const reference = JSON.parse(readFileSync(join(ROOT, 'test/reference/chat.json'), 'utf8')) as {
  templates: Record<string, string>;
  tokenizers: Record<string, unknown>;
};

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-chat-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SIZES = {
  vocab_size: 400,
  hidden_size: 24,
  intermediate_size: 32,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  max_position_embeddings: 400,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 1,
  rope_theta: 10000,
  // Far from even: every token has its own favorites.
  initializer_range: 0.4,
};
const CONFIGS = {
  llama: { ...SIZES, model_type: 'llama', architectures: ['LlamaForCausalLM'], hidden_act: 'silu' },
  gemma2: {
    ...SIZES,
    model_type: 'gemma2',
    architectures: ['Gemma2ForCausalLM'],
    hidden_activation: 'gelu_pytorch_tanh',
    sliding_window: 8,
    query_pre_attn_scalar: 8,
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
  },
};

function randomWeights(model: CausalLM): Map<string, Float32Array> {
  const parameters = model.parameters();
  const values = new Map([...parameters].map(([key, { size }]) => [key, new Float32Array(size)] as const));
  initializeWeights(parameters, values, new Random(7));
  return values;
}

async function makeModel(
  name: keyof typeof CONFIGS,
  template: string | undefined,
  positions = SIZES.max_position_embeddings,
): Promise<string> {
  const path = join(folder, `${name}-${template ?? 'plain'}-${positions}`);
  const config = { ...CONFIGS[name], max_position_embeddings: positions };
  const { model } = modelFromConfig(config, 'config.json');
  const values = randomWeights(model);
  const tokenizerConfig = {
    bos_token: '<bos>',
    eos_token: '<eos>',
    ...(template && { chat_template: reference.templates[template] }),
  };
  await saveModelDirectory(path, {
    config,
    tensors: [...model.parameters()].map(([key, { shape }]) => ({
      name: key,
      shape,
      data: values.get(key)!,
    })),
    files: [
      { name: 'tokenizer.json', data: JSON.stringify(reference.tokenizers.byteLevel) },
      { name: 'tokenizer_config.json', data: JSON.stringify(tokenizerConfig) },
    ],
  });
  return path;
}

const paths: Record<string, string> = {};

/** A model in this thread, with what it is made of at hand. */
interface Loaded {
  readonly model: CausalLM;
  readonly decoder: Decoder;
  readonly tokenizer: Tokenizer;
  readonly stopTokens: readonly number[];
  readonly chat: ChatFunction;
}

async function loadParts(path: string): Promise<Loaded> {
  const opened = await openModel(path);
  const tokenizer = (await tokenizerOf(opened.checkpoint))!;
  const decoder = await createDecoder(opened);
  await opened.checkpoint.tensors.close();
  const { model, stopTokens } = opened;
  const chat = chatFunction({ decoder, tokenizer }, stopTokens, path);
  return { model, decoder, tokenizer, stopTokens, chat };
}

const models: Record<string, Loaded> = {};
beforeAll(async () => {
  for (const name of ['llama', 'gemma2'] as const) {
    paths[name] = await makeModel(name, 'marked');
    models[name] = await loadParts(paths[name]);
  }
  paths.plain = await makeModel('llama', undefined);
  paths.long = await makeModel('llama', 'marked', 50_000);
  paths.strict = await makeModel('llama', 'strict');
});
afterAll(async () => {
  for (const model of Object.values(models)) await model.decoder.release();
});

async function collect(reply: AsyncGenerator<string, string>): Promise<{ text: string; end: string }> {
  let text = '';
  for (;;) {
    const next = await reply.next();
    if (next.done) return { text, end: next.value };
    text += next.value;
  }
}

function chatModel(name: string): ChatModel {
  const { decoder, tokenizer } = models[name]!;
  return { decoder, tokenizer, template: ChatTemplate.fromConfig(tokenizer.config, name)! };
}

const ask = (content: string): ChatMessage[] => [{ role: 'user', content }];

describe.each(['llama', 'gemma2'])('model.chat of %s', (name) => {
  it('gives the likeliest tokens of the whole sequence, computed without a cache', async () => {
    const loaded = models[name]!;
    const { model, tokenizer, template } = { ...chatModel(name), model: loaded.model };
    const ids = encodeChat(tokenizer, template, ask('Hello'), { addGenerationPrompt: true });
    const weights = new Map([...randomWeights(model)].map(([key, data]) => [key, { data }] as const));
    const stops = chatStopTokens(tokenizer, template, loaded.stopTokens);
    const said: number[] = [];
    while (said.length < 10) {
      const rows = fullLogits(nodeEngine({ threads: 1 }), model, weights, [...ids, ...said]);
      const { logits } = (await rows.next()).value!;
      const next = argmax(logits.subarray(logits.length - SIZES.vocab_size));
      if (stops.includes(next)) break;
      said.push(next);
    }
    const { text } = await collect(loaded.chat(ask('Hello'), { greedy: true, maxTokens: 10 }));
    expect(text).toBe(tokenizer.decode(said, { skipSpecialTokens: true }));
    expect(text).not.toBe('');
  });

  it.each<[string, ChatOptions]>([
    ['greedy', { greedy: true }],
    ['drawn', { temperature: 0.9, seed: 3, repetitionPenalty: 1.3 }],
  ])('gives the same reply from its cache as from the beginning: %s', async (_, options) => {
    const model = chatModel(name);
    const memory = new ChatMemory(model.decoder);
    const run = vi.spyOn(model.decoder, 'forward');
    try {
      let messages: readonly ChatMessage[] = [];
      let earlier = 0;
      for (const question of ['Hello', ' and then? ', '안녕 🪢']) {
        messages = [...messages, { role: 'user', content: question }];
        run.mockClear();
        const kept = await collect(generateReply(model, messages, { ...options, maxTokens: 15, memory }));
        const tokens = run.mock.calls.reduce((sum, [ids]) => sum + ids.length, 0);
        run.mockClear();
        const fresh = await collect(generateReply(model, messages, { ...options, maxTokens: 15 }));
        const all = run.mock.calls.reduce((sum, [ids]) => sum + ids.length, 0);
        expect(kept).toEqual(fresh);
        // A cache that rolls may have to begin again; others run only what is new (a merge at the border apart).
        if (name === 'llama') expect(tokens).toBeLessThanOrEqual(all - earlier);
        const { tokenizer, template } = model;
        earlier = encodeChat(tokenizer, template, messages, { addGenerationPrompt: true }).length - 2;
        messages = [...messages, { role: 'assistant', content: kept.text }];
      }
    } finally {
      run.mockRestore();
    }
  });

  it('continues after a reply that was stopped, and switches to another conversation', async () => {
    const model = chatModel(name);
    const memory = new ChatMemory(model.decoder);
    const controller = new AbortController();
    const stopped = generateReply(model, ask('Hello'), { greedy: true, memory, signal: controller.signal });
    await stopped.next();
    controller.abort(new Error('stopped'));
    await expect(collect(stopped)).rejects.toThrow('stopped');
    for (const question of ['Hello', 'Hell', 'other']) {
      const options = { greedy: true, maxTokens: 8 };
      const kept = await collect(generateReply(model, ask(question), { ...options, memory }));
      expect(kept).toEqual(await collect(generateReply(model, ask(question), options)));
    }
  });
});

describe('a chat with a model', () => {
  it('ends a reply at an end-of-turn token, at a stop string, and when there is no more room', async () => {
    const model = chatModel('llama');
    const whole = await collect(generateReply(model, ask('Hello'), { greedy: true, maxTokens: 12 }));
    expect(whole.end).toBe('length');
    const stop = whole.text.slice(3, 5);
    const cut = await collect(
      generateReply(model, ask('Hello'), { greedy: true, maxTokens: 12, stop: [stop] }),
    );
    expect(cut).toEqual({ text: whole.text.slice(0, whole.text.indexOf(stop)), end: 'stop' });
    const ids = encodeChat(model.tokenizer, model.template, ask('Hello'), { addGenerationPrompt: true });
    const tight = await collect(generateReply(model, ask('a '.repeat(900)), { greedy: true })).catch(
      (error: unknown) => error,
    );
    expect(tight).toBeInstanceOf(RopewalkError);
    expect((tight as Error).message).toMatch(/the chat has \d+ tokens, but the model has 400 positions/);
    const full = await collect(
      generateReply(model, ask('Hello'), { seed: 1, stopTokens: [], maxTokens: 9999 }),
    );
    expect(full.end).toBe('length');
    expect(model.tokenizer.encode(full.text).length).toBeGreaterThan((400 - ids.length) / 4);
  });

  it('is refused without a template', async () => {
    const plain = await loadParts(paths.plain!);
    await expect(plain.chat(ask('a')).next()).rejects.toThrow(/no chat template .*\(template\)/);
    const template = new ChatTemplate(reference.templates.marked!);
    expect(await collect(plain.chat(ask('Hello'), { template, greedy: true, maxTokens: 5 }))).toEqual(
      await collect(models.llama!.chat(ask('Hello'), { greedy: true, maxTokens: 5 })),
    );
    await expect(models.llama!.chat([]).next()).rejects.toThrow(/at least one message/);
    await plain.decoder.release();
  });
});

describe('ropewalk chat reading from a pipe', () => {
  const FLAGS = ['--max-tokens', '12', '--greedy'];

  async function piped(args: string[], input: string) {
    const running = start(await buildProgram('bin/ropewalk.js'), ['chat', ...args], { stdio: 'pipe' });
    running.process.stdin!.end(input);
    return running.finished;
  }

  it('answers line by line in one conversation', async () => {
    const model = chatModel('llama');
    const replies: string[] = [];
    let messages: readonly ChatMessage[] = [{ role: 'system', content: 'Be brief.' }];
    for (const content of ['Hello', '/help 안녕']) {
      messages = [...messages, { role: 'user', content }];
      const stopTokens = chatStopTokens(model.tokenizer, model.template, models.llama!.stopTokens);
      const { text } = await collect(
        generateReply(model, messages, { greedy: true, maxTokens: 12, stopTokens }),
      );
      replies.push(text);
      messages = [...messages, { role: 'assistant', content: text }];
    }
    const run = await piped([paths.llama!, ...FLAGS, '--system', 'Be brief.'], 'Hello\r\n\n   \n/help 안녕');
    expect(run.stderr).toBe('');
    expect(run.code).toBe(0);
    const visible = replies.map((text) => text.replace(/(?!\n|\t)\p{Cc}/gu, '').replaceAll('\n', ''));
    expect(run.stdout.replace(/[\u2400-\u2421\ufffd]/g, '').replaceAll('\n', '')).toBe(
      visible.join('').replaceAll('\ufffd', ''),
    );
  });

  it('writes the text unchanged into a pipe, including control characters', async () => {
    const run = await piped([paths.llama!, '--max-tokens', '300', '--temperature', '3'], 'Hello\n');
    expect(run.code).toBe(0);
    expect(run.stdout).not.toMatch(/[\u2400-\u241f]/);
    expect(run.stdout).toMatch(/(?![\n\t])\p{Cc}/u);
  });

  it.each<[string[], RegExp]>([
    [['plain'], /no chat template .*give one \(--template/],
    [['strict', '--system', 'x'], /refuses these messages: There is no system role; .* first user message/],
    [['llama', '--template', join(folder, 'none.jinja')], /none\.jinja/],
    [['llama', '--greedy', '--top-k', '3'], /cannot be combined/],
    [['llama', '--max-tokens', '0'], /at least 1/],
  ])('refuses %j', async ([name, ...args], message) => {
    const { code, stdout, stderr } = await piped([paths[name!]!, ...args], 'Hello\n');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^ropewalk: [^\n]+\n$/);
    expect(stderr).toMatch(message);
  });

  it('refuses before it has read its input, however long that is', async () => {
    // More than a pipe holds: the rest finds nobody to read it.
    const { code, stdout, stderr } = await piped([paths.plain!], 'Hello\n'.repeat(500_000));
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^ropewalk: [^\n]*no chat template[^\n]*\n$/);
  });

  it('accepts a template file, and refuses a bad one', async () => {
    const good = join(folder, 'good.jinja');
    writeFileSync(good, reference.templates.marked!);
    const [plain, own] = await Promise.all([
      piped([paths.plain!, ...FLAGS, '--template', good], 'Hello\n'),
      piped([paths.llama!, ...FLAGS], 'Hello\n'),
    ]);
    expect(plain).toEqual(own);
    const bad = join(folder, 'bad.jinja');
    writeFileSync(bad, '{% for i in range(10**9) %}{% endfor %}');
    const refused = await piped([paths.plain!, '--template', bad], 'Hello\n');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/bad\.jinja: it makes a list of over/);
  });

  it('describes itself in its help', async () => {
    const { stdout } = await ropewalk(['chat', '--help']);
    expect(stdout).toMatch(/each line of the\s+input is a message/);
  });
});

describe('ropewalk chat at a terminal', () => {
  /** Types lines and waits for the prompt in between; returns what is on the screen. */
  async function talk(lines: readonly string[], locale: 'en' | 'ko' = 'en'): Promise<string> {
    const [input, output] = [new PassThrough(), new PassThrough()];
    let screen = '';
    output.setEncoding('utf8').on('data', (text: string) => {
      screen += text;
    });
    const session = new Conversation(chatModel('llama'), { greedy: true, maxTokens: 5 }, undefined);
    const chat = new InteractiveChat(session, CHAT_TEXTS[locale], {
      input,
      output,
      onInterrupt: () => () => {},
    });
    const over = chat.run();
    const prompts = () => screen.split(/> |… /).length;
    for (const line of lines) {
      const before = prompts();
      input.write(line);
      await until(() => prompts() > before, `a prompt after ${JSON.stringify(line)}`);
    }
    input.end();
    await over;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what moves the cursor is no text
    return screen.replace(/\x1b\[[\d;]*[A-Za-z]/g, '').replaceAll('\r', '');
  }

  it('obeys slash commands', async () => {
    const file = join(folder, 'saved.json');
    const other = join(folder, 'other.json');
    writeFileSync(other, '{"weights": 1}');
    const screen = await talk([
      `/save ${file}\r`,
      'Hello\r',
      '//help me\r',
      `/save ${file}\r`,
      `/save ${other}\r`,
      `/load ${other}\r`,
      '/save\r',
      '/frobnicate\r',
      '/reset\r',
      `/load ${file}\r`,
      `/save ${file}\r`,
      '/help\r',
    ]);
    expect(screen).toContain('There is nothing to save yet.');
    expect(screen.match(/Saved 4 messages in .*saved\.json\./g)).toHaveLength(2);
    expect(screen).toContain('Loaded 4 messages from');
    expect(screen).toMatch(/ropewalk: .*other\.json exists and is not a saved chat/);
    expect(screen).toMatch(/ropewalk: .*other\.json: not a saved chat/);
    expect(screen).toContain('/save needs a file name');
    expect(screen).toContain('There is no command /frobnicate');
    expect(screen).toContain('A new chat.');
    expect(screen).toContain('Ctrl-C stops a reply');
    expect(readFileSync(other, 'utf8')).toBe('{"weights": 1}');
    const { messages } = JSON.parse(readFileSync(file, 'utf8')) as { messages: ChatMessage[] };
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant']);
    expect(messages[2]!.content).toBe('/help me');
  });

  it('speaks Korean, and accepts messages of several lines', async () => {
    const file = join(folder, 'korean.json');
    const screen = await talk(['안녕\\\r', '하세요\r', `/save ${file}\r`], 'ko');
    expect(screen).toContain('메시지를 쓰고 Enter를 누르세요');
    expect(screen).toContain('메시지 2개를');
    const { messages } = JSON.parse(readFileSync(file, 'utf8')) as { messages: ChatMessage[] };
    expect(messages[0]).toEqual({ role: 'user', content: '안녕\n하세요' });
  });

  it('handles lines that arrive together one after another', async () => {
    const file = join(folder, 'pasted.json');
    await talk([`one\rtwo\r/save ${file}\r`]);
    const { messages } = JSON.parse(readFileSync(file, 'utf8')) as { messages: ChatMessage[] };
    expect(messages.filter(({ role }) => role === 'user').map(({ content }) => content)).toEqual([
      'one',
      'two',
    ]);
  });
});

describe('ropewalk chat reading lines from a pipe', () => {
  /** Refuses every message but the first that is tried, and tells how many there are and what the last one is. */
  const SHOW =
    "{% for m in messages %}{% if m.content != 'Hello' and loop.last %}{{ raise_exception((messages | length) ~ ' ' ~ (m.content | tojson)) }}{% endif %}{{ m.content }}{% endfor %}";

  async function answered(args: readonly string[], input: string | Buffer) {
    const running = start(await buildProgram('bin/ropewalk.js'), ['chat', ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    running.process.stdin!.end(input);
    return running.finished;
  }

  it.each([
    ['U+2028', 'a\u2028b'],
    ['U+2029', 'a\u2029b'],
    ['NEL', 'a\u0085b'],
    ['a line separator alone', '\u2028'],
    ['a vertical tab and a form feed', 'a\u000bb\u000cc'],
    ['a carriage return inside', 'a\rb'],
  ])('treats %s inside a line as text', async (_, line) => {
    const template = join(folder, 'show.jinja');
    writeFileSync(template, SHOW);
    const { code, stderr } = await answered([paths.llama!, '--template', template], `${line}\n`);
    // On stderr, which is for a person, a control character is a picture.
    const tojson = JSON.stringify(line).replace('\u0085', '\ufffd');
    expect(stderr.replaceAll('\\\\', '\\')).toContain(`1 ${tojson}`);
    expect(stderr.match(/line \d+ of the input/g)).toEqual(['line 1 of the input']);
    expect(code).toBe(1);
  });

  it('drops a byte order mark', async () => {
    const args = [paths.llama!, '--max-tokens', '60', '--temperature', '50'];
    const [plain, marked] = await Promise.all([answered(args, 'Hello\n'), answered(args, '\ufeffHello\n')]);
    expect(marked.stdout).toBe(plain.stdout);
  });

  it('reads JSON lines and answers with JSON lines', async () => {
    const lines = [
      '"Hello\\nthere"',
      '{"content":"Again"}',
      '{"messages":[{"role":"user","content":"New"}]}',
      '[',
      '{}',
    ];
    const { stdout, code } = await answered(
      [paths.llama!, '--json', '--greedy', '--max-tokens', '5'],
      `${lines.join('\n')}\n`,
    );
    const replies = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
    expect(replies.map((reply) => Object.keys(reply).sort())).toEqual([
      ...[0, 1, 2].map(() => ['content', 'end']),
      ['error'],
      ['error'],
    ]);
    const alone = await answered([paths.llama!, '--json', '--greedy', '--max-tokens', '5'], '"New"\n');
    expect(JSON.parse(alone.stdout)).toEqual(replies[2]);
    expect(code).toBe(1);
  });

  it('continues when the model can hold no more, and says so', async () => {
    const short = await makeModel('llama', 'marked', 60);
    const long = 'word '.repeat(80);
    const { stdout, stderr, code } = await answered(
      [short, '--greedy', '--json'],
      `"Hello"\n"Hello"\n${JSON.stringify(long)}\n"Hello"\n`,
    );
    const replies = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
    expect(replies).toHaveLength(4);
    expect(replies[0]!.end).toBe('length');
    expect(replies[1]).toEqual(replies[0]);
    expect(replies[2]!.error).toMatch(/positions/);
    expect(replies[3]).toEqual(replies[0]);
    expect(stderr).toMatch(/line 2 of the input: .* a new one begins with this message/);
    expect(code).toBe(1);
  });

  it('constrains replies with --json-schema', async () => {
    const schema = join(folder, 'schema.json');
    writeFileSync(schema, '{"type":"object","properties":{"yes":{"type":"boolean"}},"required":["yes"]}');
    const { stdout, code } = await answered([paths.llama!, '--json-schema', schema], 'Hello\nAgain\n');
    expect(code).toBe(0);
    for (const line of stdout.trimEnd().split(/\n(?=\s*\{)/))
      expect(typeof (JSON.parse(line) as { yes: unknown }).yes).toBe('boolean');
    writeFileSync(schema, '{"type":"bogus"}');
    expect((await answered([paths.llama!, '--json-schema', schema], 'Hello\n')).stderr).toMatch(/at #\/type/);
  });
});

describe('text pasted into ropewalk chat', () => {
  async function saved(typed: string): Promise<string[]> {
    const file = join(folder, 'paste.json');
    rmSync(file, { force: true });
    const [input, output] = [new PassThrough(), new PassThrough()];
    let screen = '';
    output.setEncoding('utf8').on('data', (text: string) => {
      screen += text;
    });
    const session = new Conversation(chatModel('llama'), { greedy: true, maxTokens: 3 }, undefined);
    const terminal = { input, output, onInterrupt: () => () => {} };
    const over = new InteractiveChat(session, CHAT_TEXTS.en, terminal).run();
    input.write(typed);
    input.write(`/save ${file}\r`);
    await until(() => /Saved|nothing to save/.test(screen), 'the chat is saved');
    input.end();
    await over;
    const { messages } = JSON.parse(readFileSync(file, 'utf8')) as { messages: ChatMessage[] };
    return messages.filter(({ role }) => role === 'user').map(({ content }) => content as string);
  }
  const paste = (text: string) => `\x1b[200~${text}\x1b[201~`;

  it.each([
    ['of three lines is one message', `${paste('one\rtwo\rthree')}\r`, ['one\ntwo\nthree']],
    ['that ends in a line break waits for Enter', `${paste('one\ntwo\n')}\r`, ['one\ntwo']],
    ['that begins with a slash is no command', `${paste('/exit\r/reset')}\r`, ['/exit\n/reset']],
    ['of one line that is a command is none', `${paste('/exit')}\r`, ['/exit']],
    ['goes on with what is typed', `See: ${paste('a\r\nb')} ok?\r`, ['See: a\nb ok?']],
    ['holds U+2028 and NEL as text', `${paste('a\u2028b\u0085c')}\r`, ['a\u2028b\u0085c']],
    ['twice is two lines of one message', `${paste('a\r')}${paste('b')}\r`, ['a\nb']],
  ])('%s', async (_, typed, wanted) => {
    expect(await saved(typed)).toEqual(wanted);
  });
});

/** util-linux's `script` gives a program a terminal. */
const hasScript = spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;
if (!hasScript) console.log('skipped: no `script` command is installed, so no chat is run in a terminal');

describe.runIf(hasScript)('ropewalk chat in a real terminal', () => {
  it('stops a reply at Ctrl-C without exiting, and exits at two Ctrl-C on an empty prompt', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    const command = [
      process.execPath,
      program,
      'chat',
      paths.long!,
      '--greedy',
      '--max-tokens',
      '40000',
      '--locale',
      'en',
    ];
    // The shell must not stay: Ctrl-C reaches it too, and it would end as one that was interrupted.
    const line = `exec ${command.map((part) => `'${part}'`).join(' ')}`;
    const child = spawn('script', ['-qec', line, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm', NO_COLOR: '1' },
    });
    let screen = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      screen += text;
    });
    const seen = async (pattern: RegExp) => {
      await until(() => pattern.test(screen), `${pattern} on the screen`);
      screen = '';
    };
    const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
    await seen(/lists the commands[\s\S]*> /);
    child.stdin.write('Hello\r');
    await seen(/Hello\r*\n[\s\S]{20,}/);
    child.stdin.write('\x03');
    await seen(/\(stopped\)[\s\S]*> /);
    child.stdin.write('half a line\x03');
    await seen(/\^C[\s\S]*> /);
    child.stdin.write('\x03');
    await seen(/Press Ctrl-C again[\s\S]*> /);
    child.stdin.write('\x03');
    expect(await closed).toBe(0);
  });
});
