import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { ApiError } from './api-error.ts';
import { chatCompletion } from './endpoints/chat.ts';
import { completion } from './endpoints/completions.ts';
import type { Call } from './endpoints/endpoint.ts';
import { response } from './endpoints/responses.ts';
import { Guard } from './guard.ts';
import { Jobs } from './jobs.ts';
import type { LogEntry } from './log.ts';
import { Metrics } from './metrics.ts';
import { ModelPool, type ServedModel } from './model-pool.ts';
import { openApiDocument } from './openapi.ts';
import type { ServeOptions } from './options.ts';
import { pageResponse } from './page.ts';
import { readJson } from './read-json.ts';
import { chatRequest } from './schemas/chat.ts';
import { checked } from './schemas/common.ts';
import { completionsRequest } from './schemas/completions.ts';
import { responsesRequest } from './schemas/responses.ts';

/** The connection details that @hono/node-server passes on. */
interface Connection {
  readonly incoming?: { readonly socket?: { readonly remoteAddress?: string } };
}

/** Models behind HTTP. */
export interface ModelService {
  /** Answers one request: works with hono, Next.js, Bun, Deno and anything else that uses `Request` and `Response`. */
  fetch(request: Request, connection?: unknown): Promise<Response>;
  /** Loads models now instead of at first use. @param names default all. @throws ApiError if one cannot be loaded. */
  load(names?: readonly string[]): Promise<void>;
  /**
   * Refuses new requests, lets running ones finish, and releases the models that it loaded.
   *
   * @param grace seconds after which running requests are aborted; default 30.
   */
  close(grace?: number): Promise<void>;
}

interface Variables {
  entry: Record<string, unknown>;
  client: string;
  onStreamEnd: (() => void) | undefined;
}
type App = { Variables: Variables };

const MIB = 2 ** 20;

/** What {@link serve} returns. */
export function createService(
  models: Readonly<Record<string, ServedModel>>,
  options: ServeOptions = {},
): ModelService {
  const { maxBodyBytes = 4 * MIB, maxQueue = 64, timeout = 600, idle, context } = options;
  const { maxUnreadBytes: maxUnread = MIB / 4 } = options;
  const log = (entry: Omit<LogEntry, 'time'>) =>
    options.log?.({ time: new Date().toISOString(), ...entry } as LogEntry);
  const metrics = new Metrics();
  const pool = new ModelPool(models, idle === undefined ? undefined : 1000 * idle, (name, what, model) => {
    log({ event: `model ${what}`, model: name });
    if (what === 'loaded') options.onLoad?.(name, model);
  });
  const jobs = new Jobs({ pool, metrics, maxQueue, timeoutMs: 1000 * timeout, context, maxUnread });
  const guard = new Guard(options);
  const started = performance.now();
  const app = new OpenAPIHono<App>();

  app.use('*', async (c, next) => {
    const began = performance.now();
    const id = requestId(c.req.header('x-request-id'));
    const entry: Record<string, unknown> = { id, method: c.req.method, path: c.req.path.slice(0, 200) };
    c.set('entry', entry);
    await next();
    c.header('X-Request-Id', id);
    const finish = () => {
      const seconds = (performance.now() - began) / 1000;
      metrics.request(KNOWN_PATHS.has(c.req.path) ? c.req.path : 'other', c.res.status, seconds);
      log({ event: 'request', ...entry, status: c.res.status, ms: Math.round(1000 * seconds) });
    };
    const streams = c.res.headers.get('content-type')?.startsWith('text/event-stream');
    if (streams) c.set('onStreamEnd', finish);
    else finish();
  });
  app.use('*', async (c, next) => {
    guard.checkHost(c.req.raw);
    const headers = guard.checkOrigin(c.req.raw);
    if (c.req.method === 'OPTIONS') return guard.preflight(headers, c.req.raw);
    await next();
    for (const [name, value] of Object.entries(headers)) c.header(name, value);
    return undefined;
  });
  const keyed = async (c: Context<App>, next: () => Promise<void>) => {
    const key = await guard.checkKey(c.req.raw);
    const address = (c.env as Connection | undefined)?.incoming?.socket?.remoteAddress ?? '';
    c.set('client', `${key} ${address}`);
    await next();
  };
  app.use('/v1/*', keyed);
  app.use('/metrics', keyed);

  const call = (c: Context<App>, prefix: string, { stream }: { readonly stream?: unknown }): Call => {
    const entry = c.get('entry');
    return {
      id: `${prefix}${prefix === 'resp' ? '_' : '-'}${(entry.id as string).replaceAll('-', '')}`,
      created: Math.floor(Date.now() / 1000),
      jobs,
      signal: c.req.raw.signal,
      client: c.get('client'),
      streams: stream === true,
      note: (fields) => Object.assign(entry, fields),
      onStreamEnd: () => c.get('onStreamEnd')?.(),
      onError(error) {
        if (error instanceof ApiError && error.status < 500) entry.error = error.code ?? error.type;
        else log({ event: 'error', id: entry.id, ...described(error) });
      },
    };
  };
  const body = async <S extends Parameters<typeof checked>[0]>(c: Context<App>, schema: S) => {
    const request = checked(schema, await readJson(c.req.raw, maxBodyBytes)) as Record<string, unknown> & {
      model: string;
      stream?: unknown;
    };
    const entry = c.get('entry');
    entry.model = pool.has(request.model) ? request.model : null;
    if (options.logPrompts) {
      const { prompt, messages, input } = request;
      Object.assign(entry, { prompt, messages, input });
    }
    return request;
  };
  app.post('/v1/chat/completions', async (c) => {
    const request = await body(c, chatRequest);
    return chatCompletion(request as never, call(c, 'chatcmpl', request));
  });
  app.post('/v1/completions', async (c) => {
    const request = await body(c, completionsRequest);
    return completion(request as never, call(c, 'cmpl', request));
  });
  app.post('/v1/responses', async (c) => {
    const request = await body(c, responsesRequest);
    return response(request as never, call(c, 'resp', request));
  });
  const described1 = ({ name, created }: { name: string; created: number }) => ({
    ...{ id: name, object: 'model', created, owned_by: 'ropewalk' },
  });
  app.get('/v1/models', (c) => c.json({ object: 'list', data: pool.names.map(described1) }));
  app.get('/v1/models/:name{.+}', (c) => {
    const name = c.req.param('name');
    const found = pool.names.find((model) => model.name === name);
    if (!found)
      throw new ApiError(404, `the model ${JSON.stringify(name.slice(0, 100))} is not served here.`, {
        code: 'model_not_found',
      });
    return c.json(described1(found));
  });
  app.get('/health', (c) =>
    c.json({ status: 'ok', uptime: Math.round((performance.now() - started) / 1000) }),
  );
  app.get('/metrics', async (c) =>
    c.body(await metrics.text(), 200, { 'Content-Type': metrics.contentType }),
  );
  app.get('/openapi.json', (c) => c.json(openApiDocument()));
  for (const [path, file] of options.page ?? []) {
    app.get(path === 'index.html' ? '/' : `/${path}`, () => pageResponse(file));
  }
  for (const path of ['/v1/chat/completions', '/v1/completions', '/v1/responses']) {
    app.all(path, () => {
      throw new ApiError(405, 'this endpoint takes POST requests.', { headers: { Allow: 'POST' } });
    });
  }
  app.notFound((c) =>
    new ApiError(
      404,
      `there is no endpoint ${c.req.method} ${JSON.stringify(c.req.path.slice(0, 100))}.`,
    ).response(),
  );
  app.onError((error, c) => {
    const entry = c.get('entry') ?? {};
    if (error instanceof ApiError && error.status < 500) {
      entry.error = error.code ?? error.type;
      return error.response();
    }
    log({ event: 'error', id: entry.id, ...described(error) });
    return (error instanceof ApiError ? error : new ApiError(500, 'something went wrong here.')).response();
  });

  return {
    fetch: async (request, connection) => app.fetch(request, connection as object),
    async load(names = pool.names.map(({ name }) => name)) {
      for (const name of names) (await pool.lease(name)).release();
    },
    async close(grace = 30) {
      await jobs.close(1000 * grace);
      await pool.close();
    },
  };
}

const KNOWN_PATHS = new Set([
  '/',
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/responses',
  '/v1/models',
  '/health',
  '/metrics',
  '/openapi.json',
]);

/** The client's request id if it is simple, otherwise a new one. */
function requestId(given: string | undefined): string {
  return given !== undefined && /^[\w.-]{1,64}$/.test(given) ? given : crypto.randomUUID();
}

function described(error: unknown) {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
  if (!(error instanceof Error)) return { message: String(error) };
  return { message: error.message, stack: (cause ?? error).stack };
}
