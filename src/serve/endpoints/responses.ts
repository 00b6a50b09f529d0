import type { CompletionEnd } from '../../generation/completion/completion.ts';
import { ApiError } from '../api-error.ts';
import type { CompletionJob } from '../jobs.ts';
import { toolsOf } from '../schemas/chat.ts';
import { samplingOf } from '../schemas/common.ts';
import type { ResponsesRequest } from '../schemas/responses.ts';
import type { StreamEvent } from '../sse.ts';
import { anySeed, type Call, noteUsage, seedOf, streamed } from './endpoint.ts';
import { messagesOfInput, toolFields } from './response-input.ts';

interface MessageItem {
  readonly type: 'message';
  readonly id: string;
  readonly status: 'in_progress' | 'completed' | 'incomplete';
  readonly role: 'assistant';
  readonly content: readonly ReturnType<typeof part>[];
}

interface CallItem {
  readonly type: 'function_call';
  readonly id: string;
  readonly call_id: string;
  readonly status: 'in_progress' | 'completed';
  readonly name: string;
  readonly arguments: string;
}

/** An output item: text, or a tool call. */
type OutputItem = MessageItem | CallItem;

/** POST /v1/responses: stateless, so nothing is stored between requests. */
export async function response(request: ResponsesRequest, call: Call): Promise<Response> {
  const format = request.text?.format;
  const jsonSchema =
    format?.type === 'json_schema'
      ? format.schema
      : format?.type === 'json_object'
        ? { type: 'object' }
        : undefined;
  const options = {
    ...samplingOf(request),
    ...toolsOf(toolFields(request)),
    maxTokens: request.max_output_tokens ?? undefined,
    jsonSchema: jsonSchema as never,
    seed: seedOf(request.seed, 0, anySeed()),
  };
  const prompt = { messages: messagesOfInput(request) };
  const job = await call.jobs.begin(request.model, [{ prompt, promptIndex: 0, options }], call);
  const writer = new ResponseWriter(request, call, job);
  if (request.stream) return streamed(call, job, writer.events());
  try {
    for await (const _ of writer.events());
  } finally {
    noteUsage(call, job);
  }
  return Response.json(writer.response());
}

/** Creates the events of a response, and its final state. */
class ResponseWriter {
  readonly #output: OutputItem[] = [];
  readonly #request: ResponsesRequest;
  readonly #call: Call;
  readonly #job: CompletionJob;
  #end: CompletionEnd | undefined;
  #number = 0;

  constructor(request: ResponsesRequest, call: Call, job: CompletionJob) {
    this.#request = request;
    this.#call = call;
    this.#job = job;
  }

  response() {
    const { model, instructions, temperature, top_p, max_output_tokens, tool_choice, tools, text } =
      this.#request;
    const { usage } = this.#job;
    const cut = this.#end?.end === 'length';
    return {
      ...{ id: this.#call.id, object: 'response', created_at: this.#call.created, model, error: null },
      status: this.#end === undefined ? 'in_progress' : cut ? 'incomplete' : 'completed',
      incomplete_details: cut ? { reason: 'max_output_tokens' } : null,
      ...{ instructions: instructions ?? null, max_output_tokens: max_output_tokens ?? null },
      output: this.#output,
      ...{
        parallel_tool_calls: this.#request.parallel_tool_calls ?? true,
        previous_response_id: null,
        store: false,
      },
      ...{ temperature: temperature ?? null, top_p: top_p ?? null, truncation: 'disabled' },
      ...{
        tool_choice: tool_choice ?? 'auto',
        tools: tools ?? [],
        text: text ?? { format: { type: 'text' } },
      },
      ...{ metadata: this.#request.metadata ?? {}, user: this.#request.user ?? null },
      usage:
        this.#end === undefined
          ? null
          : {
              input_tokens: usage.promptTokens,
              input_tokens_details: { cached_tokens: usage.cachedTokens },
              output_tokens: usage.newTokens,
              output_tokens_details: { reasoning_tokens: 0 },
              total_tokens: usage.promptTokens + usage.newTokens,
            },
    };
  }

  async *events(): AsyncGenerator<StreamEvent, void> {
    yield this.#event('response.created', { response: this.response() });
    yield this.#event('response.in_progress', { response: this.response() });
    try {
      for await (const event of this.#job.events()) {
        if ('end' in event) this.#end = event.end;
        else if (event.piece.type === 'text' && event.piece.text !== '') yield* this.#text(event.piece.text);
        else if (event.piece.type === 'call') yield* this.#toolCall(event.piece);
      }
    } catch (error) {
      if (!this.#request.stream) throw error;
      yield this.#failed(error);
      throw error;
    }
    yield* this.#endMessage();
    const kind = this.#end?.end === 'length' ? 'response.incomplete' : 'response.completed';
    yield this.#event(kind, { response: this.response() });
  }

  *#text(delta: string): Generator<StreamEvent> {
    const last = this.#output.at(-1);
    const item: MessageItem = last?.type === 'message' ? last : yield* this.#beginMessage();
    const text = item.content[0]!.text + delta;
    this.#output[this.#last] = { ...item, content: [part(text)] };
    yield this.#event('response.output_text.delta', { ...this.#place(item), delta, logprobs: [] });
  }

  *#beginMessage(): Generator<StreamEvent, MessageItem> {
    const id = this.#id('msg');
    const item: MessageItem = { type: 'message', id, status: 'in_progress', role: 'assistant', content: [] };
    this.#output.push(item);
    yield this.#event('response.output_item.added', { output_index: this.#last, item });
    yield this.#event('response.content_part.added', { ...this.#place(item), part: part('') });
    return { ...item, content: [part('')] };
  }

  *#endMessage(): Generator<StreamEvent> {
    const item = this.#output.at(-1);
    if (item?.type !== 'message') return;
    const done = part(item.content[0]!.text);
    const status = this.#end?.end === 'length' ? 'incomplete' : 'completed';
    const ended: MessageItem = { ...item, status, content: [done] };
    this.#output[this.#last] = ended;
    yield this.#event('response.output_text.done', { ...this.#place(item), text: done.text, logprobs: [] });
    yield this.#event('response.content_part.done', { ...this.#place(item), part: done });
    yield this.#event('response.output_item.done', { output_index: this.#last, item: ended });
  }

  *#toolCall({
    name,
    arguments: given,
  }: {
    readonly name: string;
    readonly arguments: string;
  }): Generator<StreamEvent> {
    yield* this.#endMessage();
    const begun: CallItem = {
      ...{ type: 'function_call', status: 'in_progress', name, arguments: '' },
      id: this.#id('fc'),
      call_id: this.#id('call'),
    };
    const place = { item_id: begun.id, output_index: this.#output.length };
    yield this.#event('response.output_item.added', { output_index: place.output_index, item: begun });
    yield this.#event('response.function_call_arguments.delta', { ...place, delta: given });
    yield this.#event('response.function_call_arguments.done', { ...place, name, arguments: given });
    const item: CallItem = { ...begun, status: 'completed', arguments: given };
    this.#output.push(item);
    yield this.#event('response.output_item.done', { output_index: place.output_index, item });
  }

  #failed(error: unknown): StreamEvent {
    const { message, code } =
      error instanceof ApiError ? error : { message: 'something went wrong here.', code: null };
    const failure = { code: code ?? 'server_error', message };
    return this.#event('response.failed', {
      response: { ...this.response(), status: 'failed', error: failure },
    });
  }

  get #last(): number {
    return this.#output.length - 1;
  }

  #place({ id }: OutputItem) {
    return { item_id: id, output_index: this.#last, content_index: 0 };
  }

  #id(prefix: string): string {
    return `${prefix}_${this.#call.id.slice(this.#call.id.indexOf('_') + 1)}_${this.#output.length}`;
  }

  #event(type: string, fields: object): StreamEvent {
    return { event: type, data: { type, sequence_number: this.#number++, ...fields } };
  }
}

function part(text: string) {
  return { type: 'output_text', text, annotations: [] as [], logprobs: [] as [] } as const;
}
