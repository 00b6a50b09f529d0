import { RopewalkError } from '../errors.ts';

/** ShareGPT's names of the roles. A `function_call` is a message of the assistant; see {@link asMessage}. */
const SHAREGPT_ROLES: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
  system: 'system',
  tool: 'tool',
  observation: 'tool',
  function_response: 'tool',
};

/**
 * A message of a row in the form that templates read: with all its fields except null ones, which tables use for
 * missing fields. ShareGPT's `{from, value}` becomes `{role, content}`, its `function_call` a tool call. Anything
 * else is returned unchanged.
 *
 * @param index from 0.
 * @throws RopewalkError naming the message if part of it would be lost.
 */
export function asMessage(message: unknown, index: number): unknown {
  if (typeof message !== 'object' || message === null) return message;
  const where = `message ${index + 1}`;
  const given = message as Readonly<Record<string, unknown>>;
  if (given.weight === 0) {
    throw new RopewalkError(
      `${where} has the weight 0: single messages cannot be excluded from training; give the answers to train on as prompt and completion, with a list of messages as the prompt`,
    );
  }
  const { weight: _, content, ...rest } = given;
  const fields = Object.entries(rest).filter(([, value]) => value !== null && value !== undefined);
  const others = Object.fromEntries(fields);
  if (typeof others.tool_calls === 'string') {
    if (others.tool_calls === '') delete others.tool_calls;
    else others.tool_calls = parsedList(others.tool_calls, `tool_calls of ${where}`);
  }
  if (!('from' in others) || 'role' in others) {
    return { ...others, ...(content !== undefined && { content }) };
  }
  const { from, value, ...more } = others;
  if (from === 'function_call') {
    return { ...more, role: 'assistant', content: '', tool_calls: shareGptCalls(value, where) };
  }
  return { ...more, role: SHAREGPT_ROLES[String(from)] ?? from, content: value };
}

/** The calls of a `function_call` message: JSON text of `{name, arguments}`, or of a list of these. */
function shareGptCalls(value: unknown, where: string): unknown[] {
  const parsed = parsedList(value, `value of ${where}`);
  const calls = Array.isArray(parsed) ? (parsed as unknown[]) : [parsed];
  return calls.map((call) => {
    const { name, arguments: given } = (call ?? {}) as Record<string, unknown>;
    if (typeof name === 'string' && given !== undefined) {
      return { type: 'function', function: { name, arguments: given } };
    }
    throw new RopewalkError(
      `${where} is a function_call whose value is not {"name": …, "arguments": …}; use this form, or "tool_calls" of the assistant`,
    );
  });
}

/** A list, or one written as JSON text, as in tables that cannot hold lists. */
export function parsedList(value: unknown, what: string): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value) as unknown;
  } catch (error) {
    throw new RopewalkError(
      `the field ${what} holds a text that is not JSON (${error instanceof Error ? error.message : String(error)}), but a list is needed; write it as JSON, with double quotes`,
      { cause: error },
    );
  }
}
