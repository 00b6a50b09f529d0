import type { ChatMessage } from '../../chat/messages.ts';
import { argumentsOf, type ChatRequest } from '../schemas/chat.ts';
import type { ResponsesRequest } from '../schemas/responses.ts';

type Item = Exclude<ResponsesRequest['input'], string>[number];

/** The items of a request as chat messages. */
export function messagesOfInput({ input, instructions }: ResponsesRequest): ChatMessage[] {
  const messages: ChatMessage[] = instructions ? [{ role: 'system', content: instructions }] : [];
  if (typeof input === 'string') return [...messages, { role: 'user', content: input }];
  for (const [i, item] of input.entries()) addItem(messages, item, `input.${i}`);
  return messages;
}

function addItem(messages: ChatMessage[], item: Item, where: string): void {
  if (item.type === 'function_call') {
    const { call_id: id, name } = item;
    const args = argumentsOf(item.arguments, `${where}.arguments`);
    const call = { id, type: 'function', function: { name, arguments: args } };
    const last = messages.at(-1);
    // Calls and the text before them form one assistant message.
    if (last?.role === 'assistant') {
      messages[messages.length - 1] = { ...last, tool_calls: [...(last.tool_calls ?? []), call] };
    } else messages.push({ role: 'assistant', content: null, tool_calls: [call] });
  } else if (item.type === 'function_call_output') {
    messages.push({ role: 'tool', content: item.output, tool_call_id: item.call_id });
  } else {
    const { role, content } = item;
    const text = typeof content === 'string' ? content : content.map((part) => part.text).join('');
    messages.push({ role: role === 'developer' ? 'system' : role, content: text });
  }
}

/** Tools and tool choice in the format of the chat API. */
export function toolFields(
  request: ResponsesRequest,
): Pick<ChatRequest, 'tools' | 'tool_choice' | 'parallel_tool_calls'> {
  const { tools, tool_choice: choice, parallel_tool_calls } = request;
  return {
    parallel_tool_calls,
    tools:
      tools && tools.length > 0 ? tools.map(({ type, ...tool }) => ({ type, function: tool })) : undefined,
    tool_choice:
      typeof choice === 'object' && choice ? { type: 'function', function: { name: choice.name } } : choice,
  };
}
