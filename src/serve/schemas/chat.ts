import { z } from '@hono/zod-openapi';
import type { ChatMessage } from '../../chat/messages.ts';
import type { ToolChoice, ToolDefinition } from '../../generation/completion/tool-constraint.ts';
import { ApiError } from '../api-error.ts';
import {
  given,
  HARMLESS,
  modelName,
  responseFormat,
  SAMPLING,
  STREAMING,
  stopField,
  toolName,
} from './common.ts';

const textPart = z.strictObject({ type: z.literal('text'), text: z.string() });
const content = z.union([z.string(), z.array(textPart)]);
const name = z.string().nullish();

const toolCall = z.strictObject({
  id: z.string(),
  type: z.literal('function'),
  function: z.strictObject({ name: z.string(), arguments: z.string() }),
});

const message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('system'), content, name }),
  z.strictObject({ role: z.literal('developer'), content, name }),
  z.strictObject({ role: z.literal('user'), content, name }),
  z.strictObject({
    role: z.literal('assistant'),
    content: content.nullish(),
    name,
    tool_calls: z.array(toolCall).nullish(),
    // Our own messages have these when a client sends them back.
    refusal: z.null().optional(),
    annotations: z.array(z.unknown()).max(0).nullish(),
    audio: z.null().optional(),
    function_call: z.null().optional(),
  }),
  z.strictObject({ role: z.literal('tool'), content, tool_call_id: z.string(), name }),
]);

const tool = z.strictObject({
  type: z.literal('function'),
  function: z.strictObject({
    name: toolName,
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.boolean().nullish(),
  }),
});

const toolChoice = z
  .union([
    z.enum(['none', 'auto', 'required']),
    z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: z.string() }) }),
  ])
  .nullish();

export const chatRequest = z
  .strictObject({
    model: modelName,
    messages: z.array(message).min(1),
    n: z.int().min(1).max(128).nullish(),
    stop: stopField,
    max_tokens: z.int().min(1).nullish(),
    max_completion_tokens: z.int().min(1).nullish(),
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(20).nullish(),
    response_format: responseFormat,
    tools: z.array(tool).min(1).max(128).nullish(),
    tool_choice: toolChoice,
    parallel_tool_calls: z.boolean().nullish(),
    modalities: z.array(z.literal('text')).nullish(),
    ...SAMPLING,
    ...STREAMING,
    ...HARMLESS,
  })
  .openapi('ChatCompletionRequest');

export type ChatRequest = z.infer<typeof chatRequest>;

/** Text parts are joined. */
function textOf(value: z.infer<typeof content>): string {
  return typeof value === 'string' ? value : value.map(({ text }) => text).join('');
}

/**
 * Messages for templates: the arguments of calls are values, not text.
 *
 * @throws ApiError if the arguments of a call are not a JSON object.
 */
export function messagesOf(messages: ChatRequest['messages']): ChatMessage[] {
  return messages.map((given, i) => {
    const named = typeof given.name === 'string' ? { name: given.name } : {};
    switch (given.role) {
      case 'assistant': {
        const calls = given.tool_calls ?? [];
        return {
          ...named,
          role: 'assistant',
          content:
            given.content === null || given.content === undefined
              ? calls.length > 0
                ? null
                : ''
              : textOf(given.content),
          ...(calls.length > 0 && {
            tool_calls: calls.map((call, k) => ({
              id: call.id,
              type: 'function',
              function: {
                name: call.function.name,
                arguments: argumentsOf(
                  call.function.arguments,
                  `messages.${i}.tool_calls.${k}.function.arguments`,
                ),
              },
            })),
          }),
        };
      }
      case 'tool':
        return { ...named, role: 'tool', content: textOf(given.content), tool_call_id: given.tool_call_id };
      case 'user':
        return { ...named, role: 'user', content: textOf(given.content) };
      default:
        return { ...named, role: 'system', content: textOf(given.content) };
    }
  });
}

export function argumentsOf(text: string, param: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text === '' ? '{}' : text);
  } catch {
    value = undefined;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new ApiError(400, `${param}: not a JSON object.`, { param, code: 'invalid_value' });
}

/** @returns nothing if no tool may be called. */
export function toolsOf(request: Pick<ChatRequest, 'tools' | 'tool_choice' | 'parallel_tool_calls'>): {
  readonly tools?: readonly ToolDefinition[];
  readonly toolChoice?: ToolChoice;
  readonly severalCalls?: boolean;
} {
  const { tools, tool_choice: choice, parallel_tool_calls: several } = request;
  if (!tools) {
    if (choice && choice !== 'none' && choice !== 'auto') {
      throw new ApiError(400, 'tool_choice asks for a call, but there are no tools.', {
        param: 'tool_choice',
      });
    }
    return {};
  }
  if (choice === 'none') return {};
  return {
    tools: tools.map(({ function: { name, description, parameters } }) => ({
      type: 'function',
      function: { name, description: given(description), parameters: given(parameters) },
    })),
    toolChoice: typeof choice === 'object' && choice ? { name: choice.function.name } : (choice ?? 'auto'),
    severalCalls: several ?? true,
  };
}
