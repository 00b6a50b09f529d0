import { OpenAPIHono, z } from '@hono/zod-openapi';
import { chatRequest } from './schemas/chat.ts';
import { completionsRequest } from './schemas/completions.ts';
import { responsesRequest } from './schemas/responses.ts';

let document: unknown;

/** The OpenAPI 3.1 document of the service; created once. */
export function openApiDocument(): object {
  document ??= makeDocument();
  return document as object;
}

const error = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .openapi('Error');

const usage = z
  .object({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }),
  })
  .openapi('Usage');

const head = { id: z.string(), created: z.int(), model: z.string() };

const chat = z
  .object({ ...head, object: z.literal('chat.completion'), choices: z.array(z.looseObject({})), usage })
  .openapi('ChatCompletion');

const completion = z
  .object({ ...head, object: z.literal('text_completion'), choices: z.array(z.looseObject({})), usage })
  .openapi('Completion');

const responseObject = z
  .object({
    ...{ id: z.string(), object: z.literal('response'), created_at: z.int(), model: z.string() },
    ...{ status: z.string(), output: z.array(z.looseObject({})), usage: z.looseObject({}).nullable() },
  })
  .openapi('Response');

const model = z
  .object({ id: z.string(), object: z.literal('model'), created: z.int(), owned_by: z.string() })
  .openapi('Model');

const STATUSES: Readonly<Record<number, string>> = {
  400: 'The request is not valid or cannot be fulfilled.',
  401: 'An API key is required.',
  403: 'The host or the origin is not allowed.',
  404: 'The model does not exist.',
  408: 'The request took too long.',
  413: 'The body is too large.',
  415: 'The body is not JSON.',
  429: 'The queue is full; Retry-After says when to retry.',
  503: 'The server is stopping, or the model cannot be loaded.',
};

function makeDocument() {
  const app = new OpenAPIHono();
  const { openAPIRegistry: registry } = app;
  registry.registerComponent('securitySchemes', 'key', { type: 'http', scheme: 'bearer' });
  const json = (schema: z.ZodType) => ({ 'application/json': { schema } });
  const failures = (statuses: readonly number[]) =>
    Object.fromEntries(
      statuses.map((status) => [status, { description: STATUSES[status]!, content: json(error) }]),
    );
  const post = (path: string, summary: string, request: z.ZodType, answer: z.ZodType) =>
    registry.registerPath({
      method: 'post',
      path,
      summary,
      security: [{ key: [] }, {}],
      request: { body: { required: true, content: json(request) } },
      responses: {
        200: {
          description: 'The answer, or with "stream" its pieces as server-sent events.',
          content: { ...json(answer), 'text/event-stream': { schema: z.string() } },
        },
        ...failures([400, 401, 403, 404, 408, 413, 415, 429, 503]),
      },
    });
  post('/v1/chat/completions', 'Continues a chat.', chatRequest, chat);
  post('/v1/completions', 'Continues texts.', completionsRequest, completion);
  post('/v1/responses', 'Continues a chat, in the form of the newer API.', responsesRequest, responseObject);
  const get = (path: string, summary: string, content: object, request = {}) =>
    registry.registerPath({
      method: 'get',
      path,
      summary,
      ...request,
      ...(path.startsWith('/v1') || path === '/metrics' ? { security: [{ key: [] }, {}] } : {}),
      responses: { 200: { description: summary, content }, ...failures([401, 403, 404]) },
    });
  get(
    '/v1/models',
    'The models that are served.',
    json(z.object({ object: z.literal('list'), data: z.array(model) })),
  );
  get('/v1/models/{name}', 'One of the models.', json(model), {
    request: { params: z.object({ name: z.string() }) },
  });
  get('/health', 'Whether the server answers.', json(z.object({ status: z.literal('ok'), uptime: z.int() })));
  get('/metrics', "Numbers in Prometheus's form.", { 'text/plain': { schema: z.string() } });
  get('/openapi.json', 'This document.', json(z.looseObject({})));
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Ropewalk', version: '1', description: "Language models behind OpenAI's API." },
  });
}
