import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LocalModel } from '../src/generation/local-model.ts';
import { type Listening, listen } from '../src/serve/listen.node.ts';
import type { LogEntry } from '../src/serve/log.ts';
import { serve } from '../src/serve/serve.ts';
import type { ModelService } from '../src/serve/service.ts';
import { buildProgram, start } from './helpers/cli.node.ts';
import { eventsOf, type Json, post, smallModel } from './helpers/serve.node.ts';

/** What a server refuses, and what it stays sound under. */

let model: LocalModel;
let path: string;
let service: ModelService;
let server: Listening;
let remove: () => Promise<void>;
const log: LogEntry[] = [];
beforeAll(async () => {
  ({ model, path, remove } = await smallModel());
  service = await serve(
    { small: model },
    { maxBodyBytes: 20_000, maxQueue: 2, log: (entry) => log.push(entry) },
  );
  server = await listen(service, { port: 0, host: '127.0.0.1' });
}, 60_000);
afterAll(async () => {
  await server?.close(0);
  await remove?.();
});

const chat = { model: 'small', messages: [{ role: 'user', content: '비밀' }], max_tokens: 4 };
const endless = { ...chat, max_tokens: 3000, logit_bias: { 0: -100 }, stream: true };
const errorOf = async (response: Response) => ({
  status: response.status,
  ...((await response.json()) as Json).error,
});

describe('a request to the server', () => {
  it.each([
    ['no JSON', '{"model": ', 400, /not valid JSON/],
    ['nothing', '', 400, /not valid JSON/],
    ['no object', '[]', 400, /object/],
    ['deep nesting', '['.repeat(50_00), 400, /nests deeper/],
    [
      'deep nesting in a field',
      JSON.stringify({ ...chat, tools: [] }).replace('[]', `${'[{"a":'.repeat(80)}`),
      400,
      /nests deeper/,
    ],
    ['a number without end', JSON.stringify(chat).replace('4', '1e999'), 400, /max_tokens/],
    ['a negative one', JSON.stringify({ ...chat, max_tokens: -1 }), 400, /max_tokens/],
    ['a half one', JSON.stringify({ ...chat, n: 1.5 }), 400, /^n: /],
    ['a wrong type', JSON.stringify({ ...chat, messages: 'hello' }), 400, /messages/],
    [
      'an unknown role',
      JSON.stringify({ ...chat, messages: [{ role: 'god', content: 'a' }] }),
      400,
      /messages\.0/,
    ],
    [
      'a picture',
      JSON.stringify({
        ...chat,
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }],
      }),
      400,
      /messages\.0\.content/,
    ],
    ['no model', JSON.stringify({ messages: chat.messages }), 400, /model/],
    ['another model', JSON.stringify({ ...chat, model: '../../etc/passwd' }), 404, /not served/],
    [
      'an unknown field',
      JSON.stringify({ ...chat, reasoning_effort: 'low' }),
      400,
      /reasoning_effort: not supported/,
    ],
    ['storing', JSON.stringify({ ...chat, store: true }), 400, /store/],
    ['old functions', JSON.stringify({ ...chat, functions: [] }), 400, /functions: not supported/],
    ['a bias outside', JSON.stringify({ ...chat, logit_bias: { 99999: 1 } }), 400, /outside the vocabulary/],
    ['a bias that is too large', JSON.stringify({ ...chat, logit_bias: { 1: 101 } }), 400, /logit_bias/],
    ['top_logprobs alone', JSON.stringify({ ...chat, top_logprobs: 2 }), 400, /"logprobs": true/],
    ['two limits', JSON.stringify({ ...chat, max_completion_tokens: 5 }), 400, /max_completion_tokens/],
    ['more than fits', JSON.stringify({ ...chat, max_tokens: 100_000 }), 400, /do not fit/],
    ['too many at once', JSON.stringify({ ...chat, n: 100 }), 400, /the limit is 10/],
    [
      'a schema that cannot be kept',
      JSON.stringify({
        ...chat,
        response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { minProperties: 2 } } },
      }),
      400,
      /minProperties/,
    ],
    [
      'a schema and a stop',
      JSON.stringify({ ...chat, stop: 'a', response_format: { type: 'json_object' } }),
      400,
      /cannot be combined with stop/,
    ],
    [
      'a body that is too large',
      JSON.stringify({ ...chat, messages: [{ role: 'user', content: 'a'.repeat(30_000) }] }),
      413,
      /20000 bytes/,
    ],
  ])('is refused with its status and the cause: a chat with %s', async (_, body, status, message) => {
    const error = await errorOf(await post(service, '/v1/chat/completions', body));
    expect(error).toMatchObject({
      status,
      type: expect.any(String),
      message: expect.stringMatching(message),
    });
    expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'status', 'type']);
  });

  it.each([
    ['ids outside the vocabulary', { prompt: [1, 99999] }, /outside the vocabulary/],
    ['negative ids', { prompt: [-1] }, /prompt/],
    ['an empty list', { prompt: [] }, /prompt/],
    ['mixed lists', { prompt: ['a', 1] }, /prompt/],
    ['best_of', { prompt: 'a', best_of: 3 }, /best_of/],
    ['a suffix', { prompt: 'a', suffix: 'b' }, /suffix/],
  ])('is refused with its status and the cause: a completion with %s', async (_, body, message) => {
    const error = await errorOf(await post(service, '/v1/completions', { model: 'small', ...body }));
    expect(error).toMatchObject({ status: 400, message: expect.stringMatching(message) });
  });

  it('is refused when its bytes are not UTF-8 or its type is not JSON', async () => {
    const send = (body: BodyInit, type: string) =>
      service.fetch(
        new Request('http://localhost/v1/completions', {
          method: 'POST',
          body,
          headers: { 'Content-Type': type },
        }),
      );
    expect(await errorOf(await send(Uint8Array.of(0x22, 0xff, 0x22), 'application/json'))).toMatchObject({
      status: 400,
      message: /UTF-8/,
    });
    expect((await send('{}', 'text/plain')).status).toBe(415);
  });

  it('is accepted with fields that have no effect', async () => {
    const harmless = {
      user: 'a',
      metadata: { a: 'b' },
      store: false,
      parallel_tool_calls: true,
      service_tier: 'auto',
      stop: null,
      n: null,
    };
    expect((await post(service, '/v1/chat/completions', { ...chat, ...harmless })).status).toBe(200);
  });

  it('is refused when its method or path is unknown', async () => {
    const get = (where: string, method = 'GET') =>
      service.fetch(new Request(`http://localhost${where}`, { method }));
    expect((await get('/v1/chat/completions')).status).toBe(405);
    expect((await get('/v1/nothing')).status).toBe(404);
    expect((await get('/..%2f..%2fetc/passwd')).status).toBe(404);
    expect((await get('/v1/models/..%2f..%2fetc')).status).toBe(404);
    expect((await get('/v1/models/small')).status).toBe(200);
    expect(((await (await get('/openapi.json')).json()) as Json).openapi).toBe('3.1.0');
  });
});

describe('the server answers', () => {
  const ask = async (
    more: Parameters<typeof serve>[1],
    headers: Record<string, string>,
    where = '/v1/models',
    method = 'GET',
  ) =>
    (await serve({ small: model }, more)).fetch(new Request(`http://localhost${where}`, { headers, method }));

  it('only holders of a key when keys are set', async () => {
    const keys = { apiKeys: ['one', 'two'] };
    expect((await ask(keys, {})).status).toBe(401);
    expect((await ask(keys, { Authorization: 'Bearer on' })).status).toBe(401);
    expect((await ask(keys, { Authorization: 'one' })).status).toBe(401);
    expect((await ask(keys, {}, '/metrics')).status).toBe(401);
    expect((await ask(keys, {}, '/health')).status).toBe(200);
    expect((await ask(keys, { Authorization: 'Bearer two' })).status).toBe(200);
  });

  it('no pages of other origins unless they are allowed', async () => {
    const origin = { Origin: 'https://evil.example' };
    expect((await ask({}, origin)).status).toBe(403);
    expect((await ask({}, { Origin: 'null' })).status).toBe(403);
    expect((await ask({}, origin, '/v1/models', 'OPTIONS')).status).toBe(403);
    expect((await ask({}, { Origin: 'http://localhost' })).status).toBe(200);
    const allowed = await ask({ cors: ['https://evil.example'] }, origin);
    expect([allowed.status, allowed.headers.get('access-control-allow-origin')]).toEqual([
      200,
      'https://evil.example',
    ]);
    const preflight = await ask(
      { cors: ['*'], apiKeys: ['k'] },
      { ...origin, 'Access-Control-Request-Headers': 'authorization,content-type' },
      '/v1/models',
      'OPTIONS',
    );
    expect([preflight.status, preflight.headers.get('access-control-allow-headers')]).toEqual([
      204,
      'authorization,content-type',
    ]);
  });

  it('no requests under a host name that is not its own', async () => {
    const hosts = { allowedHosts: ['localhost', 'models.example'] };
    expect((await ask(hosts, { Host: 'evil.example' })).status).toBe(403);
    expect((await ask(hosts, { Host: 'localhost@evil.example' })).status).toBe(403);
    for (const host of ['localhost:80', 'MODELS.example', '127.0.0.1:9', '[::1]:80'])
      expect((await ask(hosts, { Host: host })).status, host).toBe(200);
  });
});

describe('the server under load', () => {
  it('refuses more than the queue holds, and says when to retry', async () => {
    const leave = new AbortController();
    const open = await Promise.all(
      Array.from({ length: 10 }, () =>
        fetch(`${server.url}/v1/chat/completions`, {
          ...{ method: 'POST', signal: leave.signal, body: JSON.stringify(endless) },
          headers: { 'Content-Type': 'application/json' },
        }),
      ),
    );
    expect(open.map(({ status }) => status)).toEqual(new Array(10).fill(200));
    const refused = await post(service, '/v1/chat/completions', chat);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    leave.abort();
    await Promise.allSettled(open.map((response) => response.text()));
    await expect
      .poll(async () => (await post(service, '/v1/chat/completions', chat)).status, { timeout: 20_000 })
      .toBe(200);
  });

  it('aborts requests that take too long', async () => {
    const hasty = await serve({ small: model }, { timeout: 0.05 });
    const whole = { ...endless, stream: false };
    expect(await errorOf(await post(hasty, '/v1/chat/completions', whole))).toMatchObject({
      status: 408,
      code: 'timeout',
    });
    const events = await eventsOf(await post(hasty, '/v1/chat/completions', endless));
    expect(events.at(-1).error).toMatchObject({ code: 'timeout' });
  });

  it('does not let the model wait for clients that do not read', async () => {
    const response = await post(service, '/v1/chat/completions', { ...endless, max_tokens: 600 });
    // Nobody reads; all the same its place is free after a while.
    await expect
      .poll(
        async () =>
          /ropewalk_sequences\{model="small"\} 0/.test(
            await (await service.fetch(new Request('http://localhost/metrics'))).text(),
          ),
        { timeout: 20_000 },
      )
      .toBe(true);
    expect((await eventsOf(response)).at(-1).choices[0].finish_reason).toBe('length');
  });

  it('is unharmed by clients that vanish in the middle of a body or of headers', async () => {
    const { port } = new URL(server.url);
    const head = `POST /v1/completions HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\n`;
    for (const text of ['GET / HT', head, `${head}Content-Length: 100\r\n\r\n{"model"`]) {
      const socket = connect(Number(port), '127.0.0.1');
      await once(socket, 'connect');
      socket.write(text);
      await sleep(20);
      socket.destroy();
    }
    expect((await post(service, '/v1/chat/completions', chat)).status).toBe(200);
  });

  it.each([
    ['two lengths', 'Content-Length: 4\r\nContent-Length: 5\r\n\r\n{}'],
    [
      'a length and chunks',
      'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n',
    ],
    ['a folded header', 'X: a\r\n b\r\nContent-Length: x\r\n\r\n'],
    ['no HTTP', '\r\n\u0000\u0001'],
  ])('refuses smuggled headers: %s', async (_, rest) => {
    const { port } = new URL(server.url);
    const socket = connect(Number(port), '127.0.0.1');
    await once(socket, 'connect');
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\n${rest}`,
    );
    await once(socket, 'close');
    expect(answer).toMatch(/^HTTP\/1\.1 400/);
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it('logs requests without their contents', async () => {
    expect(log.filter(({ event }) => event === 'request').length).toBeGreaterThan(10);
    expect(log.every((entry) => typeof entry.status === 'number' || entry.event !== 'request')).toBe(true);
    expect(JSON.stringify(log)).not.toContain('비밀');
    // Clients that leave are no errors of the server's.
    expect(log.filter(({ event }) => event === 'error')).toEqual([]);
    expect(log.map(({ error }) => error)).toContain('client_left');
    const said: LogEntry[] = [];
    await post(
      await serve({ small: model }, { logPrompts: true, log: (entry) => said.push(entry) }),
      '/v1/chat/completions',
      chat,
    );
    expect(JSON.stringify(said)).toContain('비밀');
  });
});

describe('the models of the server', () => {
  it('are loaded at first use, and released when unused', async () => {
    let loads = 0;
    let releases = 0;
    const lazy = await serve(
      {
        small: async () => {
          loads++;
          return new Proxy(model, {
            get: (target, key) => {
              if (key === 'release') return async () => void releases++;
              const value = Reflect.get(target, key, target);
              return typeof value === 'function' ? value.bind(target) : value;
            },
          });
        },
        broken: () => Promise.reject(new Error('no')),
      },
      { idle: 0.02 },
    );
    expect(loads).toBe(0);
    await Promise.all([1, 2].map(() => post(lazy, '/v1/chat/completions', chat)));
    expect(loads).toBe(1);
    await expect.poll(() => releases, { timeout: 20_000 }).toBe(1);
    expect((await post(lazy, '/v1/chat/completions', chat)).status).toBe(200);
    expect(loads).toBe(2);
    expect((await post(lazy, '/v1/chat/completions', { ...chat, model: 'broken' })).status).toBe(503);
    await lazy.close(0);
    expect(releases).toBe(2);
  });
});

describe('ropewalk serve', () => {
  it('serves until SIGTERM, finishes running requests, and exits with 0', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    const running = start(program, [
      'serve',
      `one=${path}`,
      '--port',
      '0',
      '--threads',
      '1',
      '--grace',
      '50',
      '--no-page',
    ]);
    await running.seen(/listening at http:\/\/127\.0\.0\.1:\d+/);
    const [, url] = /listening at (\S+)/.exec(running.output.stdout)!;
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...endless, model: 'one', max_tokens: 200 }),
    });
    expect(response.status).toBe(200);
    running.process.kill('SIGTERM');
    const events = await eventsOf(response);
    expect(events.at(-1).choices[0].finish_reason).toBe('length');
    const { code, stderr } = await running.finished;
    expect(code).toBe(0);
    expect(stderr).toMatch(/up to 8 completions run together/);
    const lines = stderr.split('\n').filter((line) => line.startsWith('{'));
    expect(lines.map((line) => JSON.parse(line).event)).toContain('request');
  });

  it('reports wrong arguments', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    const taken = new URL(server.url).port;
    for (const [args, message] of [
      [[`a=${path}`, `a=${path}`], /two models are called a/],
      [[path, '--port', taken], /port \d+ of 127\.0\.0\.1 is in use/],
      [[path, '--port', '99999'], /Give a port/],
      [['/nowhere/model'], /nowhere/],
    ] as const) {
      const { code, stderr } = await start(program, ['serve', '--no-page', ...args]).finished;
      expect(code).not.toBe(0);
      expect(stderr).toMatch(message);
    }
  });
});
