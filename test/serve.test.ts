import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LocalModel } from '../src/generation/local-model.ts';
import { serve } from '../src/serve/serve.ts';
import type { ModelService } from '../src/serve/service.ts';
import { eventsOf, type Json, post, smallModel } from './helpers/serve.node.ts';

/** OpenAI's API as a service of this library answers it, without a network. */

let model: LocalModel;
let service: ModelService;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ model, remove } = await smallModel());
  service = await serve({ small: model });
}, 60_000);
afterAll(async () => {
  await service.close(0);
  await remove();
});

const user = (content: string) => [{ role: 'user', content }];
const json = async (response: Response) => (await response.json()) as Json;

async function textOf(prompt: string, options: object): Promise<string> {
  let text = '';
  for await (const piece of model.generate(prompt, { maxTokens: 16, ...options })) text += piece;
  return text;
}

describe('the endpoint /v1/completions', () => {
  it('gives the text that the library gives, whole and streamed', async () => {
    const request = {
      model: 'small',
      prompt: '밧줄을',
      max_tokens: 40,
      temperature: 0.9,
      seed: 3,
      top_p: 0.95,
    };
    const wanted = await textOf('밧줄을', { maxTokens: 40, temperature: 0.9, seed: 3, topP: 0.95 });
    const response = await post(service, '/v1/completions', request);
    expect(response.status).toBe(200);
    const whole = await json(response);
    expect(whole).toMatchObject({
      object: 'text_completion',
      model: 'small',
      choices: [{ index: 0, text: wanted, logprobs: null }],
    });
    const { usage } = whole;
    expect(usage.prompt_tokens).toBe(model.tokenizer.encode('밧줄을').length);
    expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
    const events = await eventsOf(
      await post(service, '/v1/completions', {
        ...request,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    expect(events.map(({ choices: [choice] }) => choice?.text ?? '').join('')).toBe(wanted);
    expect(events.at(-1)).toMatchObject({ choices: [], usage });
    expect(events.at(-2)!.choices[0].finish_reason).toBe(whole.choices[0].finish_reason);
    expect(events[0]!.usage).toBeNull();
  });

  it('accepts texts, ids, several of them, and n choices that each use the next seed', async () => {
    const ids = model.tokenizer.encode('a ropewalk');
    const base = { model: 'small', max_tokens: 8, temperature: 1, seed: 5 };
    const ask = async (prompt: unknown, more: object = {}) =>
      (await json(await post(service, '/v1/completions', { ...base, prompt, ...more }))).choices.map(
        (one: Json) => one.text,
      );
    const [first] = await ask('a ropewalk');
    expect(await ask(ids)).toEqual([first]);
    expect(await ask(['a ropewalk', 'lane'])).toEqual([first, (await ask('lane'))[0]]);
    expect(await ask([ids, ids.slice(0, 2)], { n: 2 })).toEqual([
      first,
      (await ask(ids, { seed: 6 }))[0],
      (await ask(ids.slice(0, 2)))[0],
      (await ask(ids.slice(0, 2), { seed: 6 }))[0],
    ]);
  });

  it('scores an echoed prompt, and generates a token even after the end of a text', async () => {
    const prompt = model.tokenizer.encode('긴 길 🪢 a lane');
    const [end] = model.stopTokens;
    const logits = await model.logits([...prompt, end!]);
    const { vocab_size: vocab } = model.config;
    const bias = { [end!]: 100 };
    const { choices } = await json(
      await post(service, '/v1/completions', {
        ...{ model: 'small', prompt: [[...prompt, end!]], echo: true, logprobs: 1, max_tokens: 1 },
        ...{ temperature: 0, logit_bias: bias },
      }),
    );
    const [{ text, logprobs, finish_reason: reason }] = choices;
    expect(reason).toBe('stop');
    expect(text.startsWith(model.tokenizer.decode([...prompt, end!]))).toBe(true);
    expect(logprobs.tokens).toHaveLength(prompt.length + 2);
    expect(logprobs.token_logprobs[0]).toBeNull();
    expect(logprobs.top_logprobs[0]).toBeNull();
    expect(logprobs.text_offset[0]).toBe(0);
    for (const [i, id] of [...prompt.slice(1), end!].entries()) {
      const row = [...logits.subarray(i * vocab, (i + 1) * vocab)];
      const total = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
      expect(logprobs.token_logprobs[i + 1]).toBeCloseTo(row[id]! - total, 4);
      const best = Math.max(...(Object.values(logprobs.top_logprobs[i + 1]) as number[]));
      expect(best).toBeCloseTo(Math.max(...row) - total, 4);
    }
    // A part of a character is named by its bytes.
    expect(logprobs.tokens.some((token: string) => token.startsWith('bytes:\\x'))).toBe(true);
  });

  it('scores a prompt without generating a token', async () => {
    const { choices, usage } = await json(
      await post(service, '/v1/completions', {
        model: 'small',
        prompt: 'a lane',
        echo: true,
        logprobs: 0,
        max_tokens: 0,
      }),
    );
    expect(choices[0].text).toBe('a lane');
    expect(choices[0].finish_reason).toBe('length');
    expect(choices[0].logprobs.tokens.join('')).toBe('a lane');
    expect(usage.completion_tokens).toBe(0);
  });

  it('ends before stop strings, and gives the finish reason', async () => {
    const base = {
      model: 'small',
      prompt: 'a',
      max_tokens: 60,
      seed: 1,
      logit_bias: { [model.stopTokens[0]!]: -100 },
    };
    const whole = (await json(await post(service, '/v1/completions', base))).choices[0];
    expect(whole.finish_reason).toBe('length');
    const stop = [...whole.text][10]!;
    const cut = (await json(await post(service, '/v1/completions', { ...base, stop }))).choices[0];
    expect(cut).toMatchObject({ text: whole.text.slice(0, whole.text.indexOf(stop)), finish_reason: 'stop' });
  });
});

describe('the endpoint /v1/chat/completions', () => {
  it('gives the message that the library gives, whole and streamed', async () => {
    const messages = [{ role: 'system', content: '짧게' }, ...user('밧줄?')];
    let wanted = '';
    const options = { maxTokens: 40, temperature: 1, seed: 2 };
    for await (const piece of model.chat(messages as never, options)) wanted += piece;
    const request = { model: 'small', messages, max_tokens: 40, temperature: 1, seed: 2 };
    const whole = await json(await post(service, '/v1/chat/completions', request));
    expect(whole.choices[0].message).toEqual({ role: 'assistant', content: wanted, refusal: null });
    const parts = [
      {
        role: 'developer',
        content: [
          { type: 'text', text: '짧' },
          { type: 'text', text: '게' },
        ],
      },
      ...user('밧줄?'),
    ];
    const streamed = await eventsOf(
      await post(service, '/v1/chat/completions', { ...request, messages: parts, stream: true }),
    );
    expect(streamed[0]!.choices[0].delta).toEqual({ role: 'assistant', content: '' });
    expect(streamed.map(({ choices: [choice] }) => choice.delta.content ?? '').join('')).toBe(wanted);
    expect(streamed.at(-1)!.choices[0].finish_reason).toBe(whole.choices[0].finish_reason);
  });

  it('gives log-probabilities of its tokens', async () => {
    const { choices } = await json(
      await post(service, '/v1/chat/completions', {
        ...{
          model: 'small',
          messages: user('a'),
          max_tokens: 12,
          temperature: 0,
          logprobs: true,
          top_logprobs: 3,
        },
        logit_bias: { [model.stopTokens[0]!]: -100 },
      }),
    );
    const { content } = choices[0].logprobs;
    expect(content).toHaveLength(12);
    const bytes = content.flatMap((entry: Json) => entry.bytes);
    expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(choices[0].message.content);
    for (const { token, logprob, top_logprobs: top } of content) {
      expect(top).toHaveLength(3);
      expect(top.map((one: Json) => one.logprob)).toEqual(
        [...top.map((one: Json) => one.logprob)].sort((a, b) => b - a),
      );
      expect(logprob).toBeLessThanOrEqual(0);
      expect(typeof token).toBe('string');
    }
  });

  it('writes JSON, with or without a schema', async () => {
    const ask = async (format: object, seed: number) => {
      const request = { model: 'small', messages: user('JSON'), max_tokens: 80, temperature: 1.2, seed };
      const { choices } = await json(
        await post(service, '/v1/chat/completions', { ...request, response_format: format }),
      );
      return JSON.parse(choices[0].message.content);
    };
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 5 },
        age: { type: 'integer', minimum: 0, maximum: 120 },
      },
      required: ['name', 'age'],
      additionalProperties: false,
    };
    for (let seed = 0; seed < 5; seed++) {
      const value = await ask(
        { type: 'json_schema', json_schema: { name: 'person', schema, strict: true } },
        seed,
      );
      expect(Object.keys(value)).toEqual(['name', 'age']);
      expect(Number.isInteger(value.age)).toBe(true);
      expect(typeof (await ask({ type: 'json_object' }, seed))).toBe('object');
    }
  });
});
