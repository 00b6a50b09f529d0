import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { ChatOpenAI } from '@langchain/openai';
import { generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { LanguageModel } from '../src/generation/language-model.ts';
import { load } from '../src/generation/load.node.ts';
import { type Listening, listen } from '../src/serve/listen.node.ts';
import { serve } from '../src/serve/serve.ts';
import { smallModel } from './helpers/serve.node.ts';

/** The clients that people use, over the network, against a model in a thread of its own. */

let model: LanguageModel;
let server: Listening;
let remove: () => Promise<void>;
beforeAll(async () => {
  const made = await smallModel();
  remove = made.remove;
  model = await load(made.path, { threads: 1 });
  const service = await serve({ small: model }, { apiKeys: ['secret'], allowedHosts: [] });
  server = await listen(service, { port: 0, host: '127.0.0.1' });
}, 60_000);
afterAll(async () => {
  await server?.close(0);
  await model?.release();
  await remove?.();
});

const person = z.object({ name: z.string().max(6), age: z.int().min(0).max(120) });
const weather = {
  name: 'weather',
  parameters: {
    type: 'object',
    properties: { place: { type: 'string', maxLength: 6 } },
    required: ['place'],
    additionalProperties: false,
  },
};

describe('the openai client', () => {
  const client = () => new OpenAI({ apiKey: 'secret', baseURL: `${server.url}/v1`, maxRetries: 0 });
  const messages = [{ role: 'user' as const, content: '밧줄?' }];

  it('lists models, chats, and streams the same text', async () => {
    expect((await client().models.list()).data.map(({ id }) => id)).toEqual(['small']);
    const request = { model: 'small', messages, max_tokens: 30, seed: 1 };
    const whole = await client().chat.completions.create(request);
    const stream = await client().chat.completions.create({
      ...{ ...request, stream: true as const, stream_options: { include_usage: true } },
    });
    let text = '';
    let usage: unknown;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(usage).toMatchObject({ completion_tokens: whole.usage!.completion_tokens });
    const old = await client().completions.create({ model: 'small', prompt: 'a', max_tokens: 4 });
    expect(old.choices[0]!.text).toEqual(expect.any(String));
  });

  it('calls tools', async () => {
    const { choices } = await client().chat.completions.create({
      ...{ model: 'small', messages, max_tokens: 100, seed: 1 },
      tools: [{ type: 'function', function: weather }],
      tool_choice: 'required',
    });
    const [call] = choices[0]!.message.tool_calls!;
    expect(call?.type === 'function' && JSON.parse(call.function.arguments)).toEqual({
      place: expect.any(String),
    });
    const runner = client().chat.completions.runTools(
      {
        ...{ model: 'small', messages, max_tokens: 100, seed: 1 },
        tool_choice: { type: 'function', function: { name: 'weather' } },
        tools: [{ type: 'function', function: { ...weather, function: () => 'clear', parse: JSON.parse } }],
      } as never,
      { maxChatCompletions: 2 },
    );
    await runner.done().catch(() => {});
    expect(runner.messages.map(({ role }) => role)).toEqual(expect.arrayContaining(['assistant', 'tool']));
  });

  it('uses the Responses API, whole, streamed and with tools', async () => {
    const request = { model: 'small', input: '밧줄?', max_output_tokens: 30, instructions: '짧게' };
    const seeded = { ...request, seed: 4 } as typeof request;
    const whole = await client().responses.create(seeded);
    const chat = await client().chat.completions.create({
      ...{ model: 'small', max_tokens: 30, seed: 4 },
      messages: [{ role: 'system', content: '짧게' }, ...messages],
    });
    expect(whole.output_text).toBe(chat.choices[0]!.message.content);
    expect(whole.usage!.output_tokens).toBe(chat.usage!.completion_tokens);
    const stream = client().responses.stream(seeded);
    let text = '';
    for await (const event of stream) if (event.type === 'response.output_text.delta') text += event.delta;
    expect(text).toBe(whole.output_text);
    expect((await stream.finalResponse()).status).toBe(whole.status);
    const called = await client().responses.create({
      ...{ ...request, max_output_tokens: 120, tool_choice: 'required' as const },
      tools: [{ type: 'function', strict: true, ...weather }],
    });
    const [call] = called.output;
    expect(call?.type === 'function_call' && JSON.parse(call.arguments)).toEqual({
      place: expect.any(String),
    });
    const more = await client().responses.create({
      ...{ model: 'small', max_output_tokens: 5 },
      input: [
        { role: 'user', content: '서울?' },
        ...(called.output as OpenAI.Responses.ResponseFunctionToolCall[]),
        { type: 'function_call_output', call_id: 'a', output: '맑음' },
      ],
    });
    expect(more.output_text).toEqual(expect.any(String));
    await expect(client().responses.create({ ...request, previous_response_id: 'a' })).rejects.toMatchObject({
      ...{ status: 400, param: 'previous_response_id' },
    });
  });

  it('parses output under a schema', async () => {
    const { choices } = await client().chat.completions.parse({
      ...{ model: 'small', messages, max_tokens: 120, seed: 3 },
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'person', strict: true, schema: z.toJSONSchema(person) },
      },
    });
    expect(
      person.safeParse(choices[0]!.message.parsed ?? JSON.parse(choices[0]!.message.content!)).success,
    ).toBe(true);
  });

  it('frees its place when it disconnects', async () => {
    const controller = new AbortController();
    const stream = await client().chat.completions.create(
      {
        ...{ model: 'small', messages, max_tokens: 3000, stream: true as const, seed: 1 },
        logit_bias: { 0: -100 },
      },
      { signal: controller.signal },
    );
    let pieces = 0;
    try {
      for await (const _ of stream) if (++pieces === 3) controller.abort();
    } catch {
      // The client's own error.
    }
    expect(pieces).toBeLessThan(3000);
    await expect.poll(async () => metric('ropewalk_sequences{model="small"}'), { timeout: 20_000 }).toBe(0);
  });

  it('distinguishes kinds of errors', async () => {
    const wrong = new OpenAI({ apiKey: 'other', baseURL: `${server.url}/v1`, maxRetries: 0 });
    await expect(wrong.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    const ask = (model: string, more: object) =>
      client().chat.completions.create({ model, messages, ...more } as never);
    await expect(ask('none', {})).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(ask('small', { temperature: 'hot' })).rejects.toMatchObject({
      status: 400,
      param: 'temperature',
    });
    await expect(ask('small', { reasoning_effort: 'high' })).rejects.toMatchObject({
      ...{ status: 400, code: 'unknown_parameter', param: 'reasoning_effort' },
    });
  });
});

describe('the ai client (Vercel AI SDK)', () => {
  const provider = () =>
    createOpenAICompatible({
      ...{ name: 'ropewalk', apiKey: 'secret', baseURL: `${server.url}/v1` },
      ...{ includeUsage: true, supportsStructuredOutputs: true },
    });

  it('streams text', async () => {
    const result = streamText({ model: provider()('small'), prompt: '밧줄?', maxOutputTokens: 20, seed: 1 });
    let text = '';
    for await (const piece of result.textStream) text += piece;
    const { text: whole } = await generateText({
      model: provider()('small'),
      prompt: '밧줄?',
      maxOutputTokens: 20,
      seed: 1,
    });
    expect(text).toBe(whole);
    expect((await result.usage).outputTokens).toBeGreaterThan(0);
  });

  it('generates objects', async () => {
    const { object } = await generateObject({
      ...{ model: provider()('small'), schema: person, prompt: 'Who?', maxOutputTokens: 150, seed: 1 },
    });
    expect(person.parse(object)).toEqual(object);
  });

  it('calls tools and uses their results', async () => {
    const asked: string[] = [];
    const result = await generateText({
      ...{ model: provider()('small'), prompt: '서울?', maxOutputTokens: 80, seed: 1 },
      tools: {
        weather: tool({
          inputSchema: z.object({ place: z.string().max(6) }),
          execute: async ({ place }) => {
            asked.push(place);
            return 'clear';
          },
        }),
      },
      toolChoice: 'required',
      stopWhen: stepCountIs(2),
    });
    expect(result.steps).toHaveLength(2);
    expect(asked).toHaveLength(2);
  });
});

describe('the @langchain/openai client', () => {
  const chat = (more: object = {}) =>
    new ChatOpenAI({
      ...{ model: 'small', apiKey: 'secret', maxTokens: 60, maxRetries: 0, ...more },
      configuration: { baseURL: `${server.url}/v1` },
    });

  it('invokes, streams and binds tools', async () => {
    expect((await chat().invoke('밧줄?')).content).toEqual(expect.any(String));
    let pieces = 0;
    for await (const _ of await chat().stream('밧줄?')) pieces++;
    expect(pieces).toBeGreaterThan(1);
    const tools = [{ type: 'function' as const, function: weather }];
    const answer = await chat({ maxTokens: 100 })
      .bindTools(tools, { tool_choice: 'required' })
      .invoke('서울?');
    expect(answer.tool_calls).toEqual([
      expect.objectContaining({ name: 'weather', args: { place: expect.any(String) } }),
    ]);
    const structured = chat({ maxTokens: 150 }).withStructuredOutput(person, { method: 'jsonSchema' });
    expect(person.safeParse(await structured.invoke('Who?')).success).toBe(true);
  });
});

async function metric(name: string): Promise<number | undefined> {
  const response = await fetch(`${server.url}/metrics`, { headers: { Authorization: 'Bearer secret' } });
  const line = (await response.text()).split('\n').find((one) => one.startsWith(name));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')));
}

const run = promisify(execFile);
const curl = await run('curl', ['--version']).then(
  () => true,
  () => false,
);
if (!curl) console.log('skipped: curl is not installed');

describe.runIf(curl)('the curl client', () => {
  it('gets answers and streams', async () => {
    const body = JSON.stringify({
      model: 'small',
      messages: [{ role: 'user', content: 'a' }],
      max_tokens: 5,
      stream: true,
    });
    const { stdout } = await run('curl', [
      ...['-sS', '-N', `${server.url}/v1/chat/completions`, '-H', 'Authorization: Bearer secret'],
      ...['-H', 'Content-Type: application/json', '-d', body],
    ]);
    expect(stdout).toMatch(/^data: \{.*\}\n\n/);
    expect(stdout.endsWith('data: [DONE]\n\n')).toBe(true);
    const { stdout: health } = await run('curl', ['-sS', `${server.url}/health`]);
    expect(JSON.parse(health)).toMatchObject({ status: 'ok' });
  });
});
