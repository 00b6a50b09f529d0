import { z } from '@hono/zod-openapi';
import { HARMLESS, jsonSchema, modelName, SAMPLING, STREAMING, toolName } from './common.ts';

const inputPart = z.strictObject({ type: z.literal('input_text'), text: z.string() });
const outputPart = z.strictObject({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(z.unknown()).max(0).nullish(),
  logprobs: z.array(z.unknown()).max(0).nullish(),
});
const done = { id: z.string().nullish(), status: z.literal('completed').nullish() };

const item = z.union([
  z.strictObject({
    type: z.literal('message').nullish(),
    role: z.enum(['user', 'system', 'developer']),
    content: z.union([z.string(), z.array(inputPart)]),
    ...done,
  }),
  z.strictObject({
    type: z.literal('message').nullish(),
    role: z.literal('assistant'),
    content: z.union([z.string(), z.array(outputPart)]),
    ...done,
  }),
  z.strictObject({
    type: z.literal('function_call'),
    call_id: z.string(),
    name: z.string(),
    arguments: z.string(),
    ...done,
  }),
  z.strictObject({
    type: z.literal('function_call_output'),
    call_id: z.string(),
    output: z.string(),
    ...done,
  }),
]);

const { seed, top_k, min_p, repetition_penalty, temperature, top_p } = SAMPLING;

/** OpenAI's newer API, without the parts that require stored state. */
export const responsesRequest = z
  .strictObject({
    model: modelName,
    input: z.union([z.string(), z.array(item).min(1)]),
    instructions: z.string().nullish(),
    max_output_tokens: z.int().min(1).nullish(),
    text: z
      .strictObject({
        format: z
          .discriminatedUnion('type', [
            z.strictObject({ type: z.literal('text') }),
            z.strictObject({ type: z.literal('json_object') }),
            z.strictObject({
              type: z.literal('json_schema'),
              name: z.string().nullish(),
              description: z.string().nullish(),
              schema: jsonSchema,
              strict: z.boolean().nullish(),
            }),
          ])
          .nullish(),
      })
      .nullish(),
    tools: z
      .array(
        z.strictObject({
          type: z.literal('function'),
          name: toolName,
          description: z.string().nullish(),
          parameters: z.record(z.string(), z.unknown()).nullish(),
          strict: z.boolean().nullish(),
        }),
      )
      .max(128)
      .nullish(),
    tool_choice: z
      .union([
        z.enum(['none', 'auto', 'required']),
        z.strictObject({ type: z.literal('function'), name: z.string() }),
      ])
      .nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    truncation: z.literal('disabled').nullish(),
    ...{ seed, top_k, min_p, repetition_penalty, temperature, top_p },
    stream: STREAMING.stream,
    ...HARMLESS,
  })
  .openapi('ResponsesRequest');

export type ResponsesRequest = z.infer<typeof responsesRequest>;
