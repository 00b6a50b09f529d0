import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChatTemplate } from '../src/chat/template.ts';
import { ToolConstraint, ToolGrammar } from '../src/generation/completion/tool-constraint.ts';
import { toolForm } from '../src/generation/completion/tool-form.ts';
import type { LocalModel } from '../src/generation/local-model.ts';
import { argmax } from '../src/generation/sampler.ts';
import { Random } from '../src/random.ts';
import { serve } from '../src/serve/serve.ts';
import type { ModelService } from '../src/serve/service.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { eventsOf, type Json, LLAMA_LIKE, post, QWEN_LIKE, smallModel } from './helpers/serve.node.ts';

/** Tools: whatever a model says, a call of it is one of a tool that there is, with arguments that are valid. */

const TOOLS = [
  {
    type: 'function',
    function: {
      name: 'weather',
      description: 'The weather at a place.',
      parameters: {
        type: 'object',
        properties: {
          place: { type: 'string', maxLength: 8 },
          unit: { enum: ['C', 'F'] },
          days: { type: 'integer', minimum: 1, maximum: 5 },
        },
        required: ['place'],
        additionalProperties: false,
      },
    },
  },
  {
    type: 'function',
    function: {
      name: 'add',
      parameters: { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] },
    },
  },
  { type: 'function', function: { name: 'now' } },
] as const;

const ajv = new Ajv2020();
const validators = new Map(
  TOOLS.map(({ function: tool }) => [
    tool.name as string,
    ajv.compile('parameters' in tool ? tool.parameters : { type: 'object' }),
  ]),
);

function expectValid({ name, arguments: text }: { name: string; arguments: string }) {
  const validate = validators.get(name);
  expect(validate, name).toBeDefined();
  expect(validate!(JSON.parse(text)), text).toBe(true);
}

const TEMPLATES = { qwen: QWEN_LIKE, llama: LLAMA_LIKE };

describe.each(Object.entries(TEMPLATES))('tool calls in the format of %s', (name, source) => {
  let model: LocalModel;
  let service: ModelService;
  let remove: () => Promise<void>;
  beforeAll(async () => {
    ({ model, remove } = await smallModel(source));
    service = await serve({ small: model });
  }, 60_000);
  afterAll(async () => {
    await service?.close(0);
    await remove?.();
  });

  it('are recognized by what the template writes', () => {
    expect(toolForm(model.tokenizer, new ChatTemplate(source))).toEqual(
      name === 'qwen'
        ? {
            marker: '<tool_call>',
            gap: '\n',
            argumentsField: 'arguments',
            closing: '\n</tool_call>',
            several: true,
          }
        : { marker: '', gap: '', argumentsField: 'parameters', closing: '', several: false },
    );
  });

  it('are valid whatever the model prefers, and fit into the available tokens', () => {
    const form = toolForm(model.tokenizer, new ChatTemplate(source));
    const vocab = model.config.vocab_size;
    const { tokenizer, stopTokens } = model;
    let called = 0;
    fc.assert(
      fc.property(
        fc.nat(1e6),
        fc.integer({ min: 60, max: 250 }),
        fc.boolean(),
        fc.nat(3),
        (seed, most, several, style) => {
          const grammar = new ToolGrammar(tokenizer, form, TOOLS as never, style === 3 ? 'required' : 'auto');
          const constraint = new ToolConstraint(grammar, most, several);
          const random = new Random(seed);
          // Some begin a call as soon as they may, others say anything.
          const eager = form.marker === '' ? tokenizer.encode('{"') : tokenizer.encode(`ab${form.marker}`);
          const said: number[] = [];
          for (let step = 0; step < most && !constraint.finished; step++) {
            const logits = Float32Array.from({ length: vocab }, () => 3 * random.nextGaussian());
            if (style > 0 && step < eager.length) logits[eager[step]!]! += 20;
            constraint.mask(logits);
            const id = argmax(logits);
            constraint.accept(id);
            said.push(id);
            if (stopTokens.includes(id)) break;
          }
          const text = tokenizer.decode(said);
          expect(constraint.calling && !constraint.finished, text).toBe(false);
          for (const call of constraint.calls) expectValid(call);
          if (style === 3) expect(constraint.calls).toHaveLength(1);
          if (!several) expect(constraint.calls.length).toBeLessThanOrEqual(1);
          const marks = form.marker === '' ? 0 : text.split(form.marker).length - 1;
          if (form.marker !== '') expect(marks).toBeGreaterThanOrEqual(constraint.calls.length);
          called += constraint.calls.length;
        },
      ),
      { numRuns: 60 },
    );
    expect(called).toBeGreaterThan(20);
  });

  const messages = [{ role: 'user', content: '서울?' }];
  const ask = async (body: object) =>
    (await (
      await post(service, '/v1/chat/completions', {
        model: 'small',
        messages,
        tools: TOOLS,
        temperature: 1,
        ...body,
      })
    ).json()) as Json;

  it('are made when required or for the named tool, whole and streamed', async () => {
    for (let seed = 0; seed < 4; seed++) {
      const body = { tool_choice: 'required', seed, max_tokens: 150 };
      const { choices } = await ask(body);
      const [{ message, finish_reason: reason }] = choices;
      expect(reason).toBe('tool_calls');
      expect(message.content).toBeNull();
      expect(message.tool_calls).toHaveLength(1);
      expectValid(message.tool_calls[0].function);
      const response = await post(service, '/v1/chat/completions', {
        ...{ model: 'small', messages, tools: TOOLS, temperature: 1, ...body, stream: true },
      });
      const events = await eventsOf(response);
      const calls = events.flatMap(({ choices: [choice] }) => choice.delta.tool_calls ?? []);
      expect(calls.map((call: Json) => call.function)).toEqual([message.tool_calls[0].function]);
      expect(calls[0].index).toBe(0);
      expect(events.at(-1).choices[0].finish_reason).toBe('tool_calls');
    }
    const named = await ask({
      tool_choice: { type: 'function', function: { name: 'add' } },
      max_tokens: 100,
      seed: 1,
    });
    expect(named.choices[0].message.tool_calls[0].function.name).toBe('add');
  });

  it('are fed back into the chat with their results', async () => {
    const call = { id: 'c1', type: 'function', function: { name: 'weather', arguments: '{"place":"서울"}' } };
    const chat = [
      ...messages,
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', tool_call_id: 'c1', content: '맑음' },
    ];
    const { usage } = await ask({ messages: chat, tool_choice: 'none', max_tokens: 5 });
    const ids = model.tokenizer.encode('맑음').length;
    expect(usage.prompt_tokens).toBeGreaterThan(ids);
    const wrong = await ask({
      messages: [
        chat[0],
        { ...chat[1], tool_calls: [{ ...call, function: { name: 'a', arguments: '[1' } }] },
      ],
      max_tokens: 5,
    });
    expect(wrong.error).toMatchObject({ param: 'messages.1.tool_calls.0.function.arguments' });
  });

  it('are refused when they cannot be represented', async () => {
    const refusal = async (body: object) => (await ask(body)).error;
    expect(await refusal({ tool_choice: 'required', max_tokens: 3 })).toMatchObject({
      message: expect.stringMatching(/shortest call may take \d+ tokens/),
    });
    expect(
      (await refusal({ tool_choice: { type: 'function', function: { name: 'none' } } })).message,
    ).toMatch(/not one of the tools/);
    const odd = [
      {
        type: 'function',
        function: { name: 'odd', parameters: { type: 'object', minProperties: 1 } },
      },
    ];
    expect((await refusal({ tools: odd })).message).toMatch(/minProperties/);
    expect((await refusal({ response_format: { type: 'json_object' } })).message).toMatch(
      /cannot be combined/,
    );
  });
});

describe('the format of tool calls', () => {
  const { tokenizer, templates } = JSON.parse(
    readFileSync(new URL('reference/tool-rows.json', import.meta.url), 'utf8'),
  ) as { tokenizer: object; templates: Record<string, [string | { tool_use: string }]> };
  const formOf = (name: string) => {
    const [source] = templates[name]!;
    const template = new ChatTemplate(typeof source === 'string' ? source : source.tool_use);
    return toolForm(Tokenizer.fromJSON(tokenizer), template);
  };

  it('is detected for templates written after public ones', () => {
    const marked = { marker: '<tool_call>', gap: '\n', closing: '\n</tool_call>' };
    expect(formOf('hermes')).toEqual({ ...marked, argumentsField: 'arguments', several: true });
    expect(formOf('named')).toEqual({ ...marked, argumentsField: 'arguments', several: true });
    expect(formOf('llama')).toEqual({
      ...{ marker: '', gap: '', argumentsField: 'parameters', closing: '', several: false },
    });
  });

  it('is refused when a call has more than a name and arguments, or the template does not write tools', () => {
    expect(() => formOf('mistral')).toThrow(/one JSON object with a name and arguments/);
    expect(() => formOf('parts')).toThrow(/does not write the tools/);
  });
});

it('the server refuses tools for a template that does not support them', async () => {
  const plain = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}";
  const { model, remove } = await smallModel(plain);
  const service = await serve({ small: model });
  const response = await post(service, '/v1/chat/completions', {
    ...{ model: 'small', messages: [{ role: 'user', content: 'a' }], tools: TOOLS },
  });
  expect(response.status).toBe(400);
  expect(((await response.json()) as Json).error.message).toMatch(/does not write the tools/);
  await service.close(0);
  await remove();
});
