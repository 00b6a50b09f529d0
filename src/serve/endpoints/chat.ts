import type { CompletionEnd } from '../../generation/completion/completion.ts';
import type { ScoredText } from '../../generation/completion/token-scores.ts';
import { ApiError } from '../api-error.ts';
import type { Ask, CompletionJob } from '../jobs.ts';
import { type ChatRequest, messagesOf, toolsOf } from '../schemas/chat.ts';
import { given, samplingOf, schemaOf, stopOf } from '../schemas/common.ts';
import type { StreamEvent } from '../sse.ts';
import { anySeed, type Call, noteUsage, seedOf, streamed, usageOf } from './endpoint.ts';

/** POST /v1/chat/completions */
export async function chatCompletion(request: ChatRequest, call: Call): Promise<Response> {
  const job = await call.jobs.begin(request.model, asksOf(request), call);
  if (request.stream) return streamed(call, job, chunksOf(request, call, job));
  const choices = Array.from({ length: request.n ?? 1 }, newChoice);
  try {
    for await (const event of job.events()) {
      const choice = choices[event.index]!;
      if ('end' in event) choice.end = event.end;
      else if (event.piece.type === 'call') choice.calls.push(event.piece);
      else if (event.piece.type === 'text') {
        choice.text += event.piece.text;
        choice.scores.push(...(event.piece.scores ?? []));
      }
    }
  } finally {
    noteUsage(call, job);
  }
  return Response.json({
    ...{ id: call.id, object: 'chat.completion', created: call.created, model: request.model },
    choices: choices.map(({ text, calls, scores, end }, index) => ({
      index,
      message: {
        role: 'assistant',
        content: calls.length > 0 && text === '' ? null : text,
        refusal: null,
        ...(calls.length > 0 && { tool_calls: calls.map((one, i) => toolCall(call.id, index, i, one)) }),
      },
      logprobs: request.logprobs ? { content: scores.map(scoreEntry), refusal: null } : null,
      finish_reason: finishReason(end!),
    })),
    usage: usageOf(job),
  });
}

function newChoice() {
  return {
    text: '',
    calls: [] as { readonly name: string; readonly arguments: string }[],
    scores: [] as ScoredText[],
    end: undefined as CompletionEnd | undefined,
  };
}

function asksOf(request: ChatRequest): Ask[] {
  const { max_tokens: old, max_completion_tokens: most } = request;
  if (old && most && old !== most) {
    throw new ApiError(400, 'max_tokens and max_completion_tokens differ; give one of them.', {
      param: 'max_completion_tokens',
    });
  }
  if (given(request.top_logprobs) !== undefined && !request.logprobs) {
    throw new ApiError(400, 'top_logprobs needs "logprobs": true.', { param: 'top_logprobs' });
  }
  const fallback = anySeed();
  const prompt = { messages: messagesOf(request.messages) };
  const options = {
    ...samplingOf(request),
    ...toolsOf(request),
    maxTokens: most ?? old ?? undefined,
    stop: stopOf(request.stop),
    jsonSchema: schemaOf(request.response_format),
    scores: request.logprobs ? (request.top_logprobs ?? 0) : undefined,
  };
  return Array.from({ length: request.n ?? 1 }, (_, i) => ({
    prompt,
    promptIndex: 0,
    options: { ...options, seed: seedOf(request.seed, i, fallback) },
  }));
}

async function* chunksOf(
  request: ChatRequest,
  { id, created }: Call,
  job: CompletionJob,
): AsyncGenerator<StreamEvent, void> {
  const usage = request.stream_options?.include_usage === true;
  const chunk = (choices: unknown[], more: object = usage ? { usage: null } : {}): StreamEvent => ({
    data: { id, object: 'chat.completion.chunk', created, model: request.model, choices, ...more },
  });
  const delta = (index: number, said: object, reason: string | null = null, scores?: readonly ScoredText[]) =>
    chunk([
      {
        index,
        delta: said,
        logprobs: scores ? { content: scores.map(scoreEntry), refusal: null } : null,
        finish_reason: reason,
      },
    ]);
  const calls = new Map<number, number>();
  for (let index = 0; index < (request.n ?? 1); index++)
    yield delta(index, { role: 'assistant', content: '' });
  for await (const event of job.events()) {
    const { index } = event;
    if ('end' in event) yield delta(index, {}, finishReason(event.end));
    else if (event.piece.type === 'text')
      yield delta(index, { content: event.piece.text }, null, event.piece.scores);
    else if (event.piece.type === 'call') {
      const number = calls.get(index) ?? 0;
      calls.set(index, number + 1);
      yield delta(index, { tool_calls: [{ index: number, ...toolCall(id, index, number, event.piece) }] });
    }
  }
  if (usage) yield chunk([], { usage: usageOf(job) });
  yield { data: '[DONE]' };
}

function toolCall(
  id: string,
  choice: number,
  number: number,
  { name, arguments: given }: { readonly name: string; readonly arguments: string },
) {
  return {
    id: `call_${id.slice(id.indexOf('-') + 1)}_${choice}_${number}`,
    type: 'function',
    function: { name, arguments: given },
  };
}

export function finishReason({ end }: CompletionEnd): 'stop' | 'length' | 'tool_calls' {
  return end === 'calls' ? 'tool_calls' : end;
}

function scoreEntry({ token, logprob, bytes, top }: ScoredText) {
  return {
    ...{ token, logprob: finite(logprob), bytes },
    top_logprobs: top.map((likely) => ({
      token: likely.token,
      logprob: finite(likely.logprob),
      bytes: likely.bytes,
    })),
  };
}

/** JSON has no −Infinity; OpenAI writes −9999. */
export function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : -9999;
}
