import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { LanguageModel } from '../src/generation/language-model.ts';
import { load } from '../src/generation/load.node.ts';
import { type Listening, listen } from '../src/serve/listen.node.ts';
import type { LogEntry } from '../src/serve/log.ts';
import { serve } from '../src/serve/serve.ts';
import type { ModelService } from '../src/serve/service.ts';
import { eventsOf, type Json, post, smallModel } from './helpers/serve.node.ts';
import { until } from './helpers/work.node.ts';

/** What harms a server: each gets a clear error, and the others are served all the same. */

const chat = { model: 'small', messages: [{ role: 'user', content: '밧줄' }], max_tokens: 40, seed: 1 };
const endless = { ...chat, max_tokens: 3000, logit_bias: { 0: -100 }, stream: true };

let model: LanguageModel;
/** The same in this thread, where a token comes only when the one before has been taken. */
let local: LanguageModel;
let service: ModelService;
let server: Listening;
let remove: () => Promise<void>;
/** What the chat is answered with when nothing else goes on. */
let alone: string;
const log: LogEntry[] = [];
beforeAll(async () => {
  const made = await smallModel();
  remove = made.remove;
  local = made.model;
  model = await load(made.path, { threads: 1 });
  service = await serve({ small: model }, { log: (entry) => log.push(entry) });
  server = await listen(service, {
    ...{ port: 0, host: '127.0.0.1', headersTimeout: 0.5, requestTimeout: 1 },
  });
  alone = await textOf(await post(service, '/v1/chat/completions', chat));
}, 60_000);
afterAll(async () => {
  await server?.close(0);
  await model?.release();
  await remove?.();
});
/** Nobody else has been held up, and nothing was the server's fault. */
afterEach(async () => {
  expect(await textOf(await post(service, '/v1/chat/completions', chat))).toBe(alone);
  expect(log.filter(({ event }) => event === 'error')).toEqual([]);
});

async function textOf(response: Response): Promise<string> {
  expect(response.status).toBe(200);
  return ((await response.json()) as Json).choices[0].message.content;
}

const errorOf = async (response: Response) => ({
  status: response.status,
  ...((await response.json()) as Json).error,
});

async function open(): Promise<Socket> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1').on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Sends bytes, and collects the answer until the server closes the connection. */
async function exchange(text: string): Promise<string> {
  const socket = await open();
  let answer = '';
  socket.setEncoding('utf8').on('data', (piece: string) => {
    answer += piece;
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

const head = (path = '/v1/chat/completions') =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;

async function running(): Promise<number> {
  const text = await (await service.fetch(new Request('http://localhost/metrics'))).text();
  return Number(/ropewalk_sequences\{model="small"\} (\d+)/.exec(text)![1]);
}

async function untilFree(): Promise<void> {
  await expect.poll(running, { timeout: 60_000 }).toBe(0);
}

describe('a client that takes its time', () => {
  it.each([
    ['in the middle of a header', 'POST /v1/completions HTTP/1.1\r\nHost: local'],
    ['between headers and their end', head()],
    ['in the middle of a body', `${head()}Content-Length: 100\r\n\r\n{"model"`],
  ])('is answered with 408 and the connection is closed: %s', async (_, text) => {
    const answer = await exchange(text);
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(JSON.parse(answer.slice(answer.indexOf('{'))).error.message).toBe(
      'the request took too long to arrive.',
    );
  });

  it('loses its place when it leaves more of a stream unread than the limit, and the steps of others go on', async () => {
    const said: LogEntry[] = [];
    const strict = await serve(
      { small: local },
      { maxUnreadBytes: 20_000, log: (entry) => said.push(entry) },
    );
    // A token has 2,100 bytes of log-probabilities here.
    const slow = await post(strict, '/v1/chat/completions', { ...endless, logprobs: true, top_logprobs: 20 });
    const beside = await post(strict, '/v1/chat/completions', { ...chat, stream: true });
    const text = (await eventsOf(beside)).map((event) => event.choices[0].delta.content ?? '').join('');
    expect(text).toBe(alone);
    await expect
      .poll(
        async () =>
          (await (await strict.fetch(new Request('http://localhost/metrics'))).text()).match(
            /ropewalk_sequences\{model="small"\} 0/,
          ),
        { timeout: 60_000 },
      )
      .toBeTruthy();
    // What was held for it is all that it gets.
    const events = await eventsOf(slow);
    const tokens = events.flatMap((event) => event.choices?.[0]?.logprobs?.content ?? []);
    expect(tokens.length).toBeGreaterThan(5);
    expect(tokens.length).toBeLessThan(100);
    expect(events.at(-1).error).toMatchObject({
      code: 'unread',
      message: expect.stringMatching(/20000 bytes/),
    });
    expect(said.map(({ error }) => error)).toContain('unread');
    await strict.close(0);
  });

  it('gets all of its answer when what it leaves unread is below the limit', async () => {
    const slow = await post(service, '/v1/chat/completions', { ...endless, max_tokens: 300 });
    await untilFree();
    const events = await eventsOf(slow);
    expect(events.at(-1).choices[0].finish_reason).toBe('length');
  });

  it('is not limited in what it gets at once', async () => {
    const strict = await serve({ small: model }, { maxUnreadBytes: 1 });
    const more = { stream: false, max_tokens: 50, logprobs: true, top_logprobs: 20 };
    const answer = await post(strict, '/v1/chat/completions', { ...endless, ...more });
    expect(((await answer.json()) as Json).choices[0].logprobs.content).toHaveLength(50);
    await strict.close(0);
  });
});

/** A thousand connections have two ends here. */
const files = () => {
  try {
    return Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))![1]);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
};

describe('clients that are many or gone', () => {
  it.skipIf(files() < 2500)('do not hold up a request: 1,000 open connections', async () => {
    const sockets = await Promise.all(Array.from({ length: 1000 }, open));
    const answer = await fetch(`${server.url}/v1/chat/completions`, {
      ...{ method: 'POST', body: JSON.stringify(chat) },
      headers: { 'Content-Type': 'application/json' },
    });
    expect(await textOf(answer)).toBe(alone);
    for (const socket of sockets) socket.destroy();
  });

  it.each([
    ['of a body', '{"model":', 100_000],
    ['of an answer', JSON.stringify(endless), undefined],
  ])('leave nothing behind when they are killed in the middle %s', async (_, body, length) => {
    const text = `${head()}Content-Length: ${length ?? Buffer.byteLength(body)}\r\n\r\n${body}`;
    const { port } = new URL(server.url);
    const program = `const s = require('node:net').connect(${port}, '127.0.0.1');
      s.write(${JSON.stringify(text)}, () => console.log('sent'));
      s.once('data', () => console.log('read'));
      setInterval(() => {}, 1000);`;
    const client = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    client.stdout.setEncoding('utf8').on('data', (piece: string) => {
      printed += piece;
    });
    await until(() => printed.includes(length === undefined ? 'read' : 'sent'), 'the client to have begun');
    client.kill('SIGKILL');
    await once(client, 'exit');
    await untilFree();
  });
});

describe('a body', () => {
  const large = JSON.stringify({ ...chat, messages: [{ role: 'user', content: 'rope '.repeat(2_000_000) }] });

  it('of 10 MB is refused before it has been read, whether or not its length is declared', async () => {
    const declared = await exchange(
      `${head()}Content-Length: ${large.length}\r\n\r\n${large.slice(0, 1000)}`,
    );
    expect(declared).toMatch(/^HTTP\/1\.1 413 /);
    const chunked = await fetch(`${server.url}/v1/chat/completions`, {
      ...{ method: 'POST', body: new Blob([large]).stream(), duplex: 'half' },
      headers: { 'Content-Type': 'application/json' },
    } as RequestInit).catch((error: unknown) => error);
    // The server may close the connection while the client still sends.
    if (chunked instanceof Response) expect(chunked.status).toBe(413);
    else expect(chunked).toBeInstanceOf(TypeError);
    expect((await errorOf(await post(service, '/v1/chat/completions', large))).status).toBe(413);
  });

  it('with a prompt of 10 MB is refused for its tokens where such bodies are allowed, and others finish', async () => {
    const generous = await serve({ small: model }, { maxBodyBytes: 20_000_000 });
    const beside = post(generous, '/v1/chat/completions', chat);
    expect(await errorOf(await post(generous, '/v1/chat/completions', large))).toMatchObject({
      ...{ status: 400, code: 'context_length_exceeded' },
    });
    expect(await textOf(await beside)).toBe(alone);
    await generous.close(0);
  });

  const numbers = [
    '1e308',
    '-1e308',
    '1e999',
    '9007199254740993',
    '123456789012345678901234567890',
    '1e-400',
  ];
  it.each([
    ...['max_tokens', 'n', 'seed', 'temperature', 'top_p', 'frequency_penalty', 'presence_penalty'],
    ...['top_logprobs', 'top_k', 'min_p', 'repetition_penalty'],
  ])('with giant or tiny numbers is answered or refused by the name of the field: %s', async (field) => {
    for (const number of numbers) {
      const body = JSON.stringify({ ...chat, [field]: 77777, logprobs: true }).replace('77777', number);
      const response = await post(service, '/v1/chat/completions', body);
      if (response.status === 200) continue;
      expect(await errorOf(response), number).toMatchObject({
        status: 400,
        message: expect.stringContaining(field),
      });
    }
  });

  it.each([
    ['null', null],
    ['a number', 5],
    ['a list', [['a']]],
    ['an object', { a: { b: 1 } }],
    ['true', true],
    ['a text', 'text'],
  ])('with a field of the wrong type is refused by its name: %s', async (_, value) => {
    const fields = { model: 'text', messages: 'list', stop: 'text', logit_bias: 'object', tools: 'list' };
    for (const [field, type] of Object.entries({ ...fields, stream: 'boolean', response_format: 'object' })) {
      const response = await post(service, '/v1/chat/completions', { ...chat, [field]: value });
      if (response.status === 200) continue;
      expect([400, 404], `${field} (${type})`).toContain(response.status);
      expect(((await response.json()) as Json).error.message).toMatch(
        field === 'model' ? /model/ : new RegExp(field),
      );
    }
  });

  it('with text that is no Unicode, or all control characters, is answered or refused', async () => {
    for (const content of ['\\ud800', '\\udc00\\ud800', '\\u0000\\u0001', '\\ufeff\\uffff', '']) {
      const body = JSON.stringify({ ...chat, messages: [{ role: 'user', content: 'X' }] }).replace(
        '"X"',
        `"${content}"`,
      );
      expect([200, 400], content).toContain((await post(service, '/v1/chat/completions', body)).status);
    }
  });
});

describe('a request that is not what it seems', () => {
  it.each([
    [
      'a length and chunks',
      `${head()}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n`,
    ],
    [
      'chunks and a length',
      `${head()}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n`,
    ],
    ['chunks under another name', `${head()}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    [
      'chunks that are not the last encoding',
      `${head()}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    ],
    ['a length with a sign', `${head()}Content-Length: +4\r\n\r\n{}{}`],
    ['a chunk of a negative length', `${head()}Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n`],
    ['a space before a colon', `${head()}Content-Length : 2\r\n\r\n{}`],
    ['a bare line feed', `${head()}X: a\nContent-Length: 2\r\n\r\n{}`],
    ['no host', 'GET /health HTTP/1.1\r\n\r\n'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('is refused once, and what it smuggles is not answered: %s', async (_, text) => {
    const answer = await exchange(text);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(answer).not.toContain('uptime');
  });

  it('is refused with headers of 20 kB', async () => {
    expect(await exchange(`${head()}X: ${'a'.repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
  });

  it.each([
    '/../../etc/passwd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '//etc/passwd',
    '/assets/..%5c..%5cpackage.json',
    '/v1/models/../../../etc/passwd',
    '/index.html%00.js',
  ])('finds nothing outside of what is served: %s', async (path) => {
    const answer = await exchange(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 40[04] /);
    expect(answer).not.toContain('root:');
  });

  it('finds out nothing about a key by the work that a wrong one takes', async () => {
    const locked = await serve({ small: model }, { apiKeys: ['right-key', 'other-key'] });
    const digest = vi.spyOn(crypto.subtle, 'digest');
    const counts: number[] = [];
    for (const key of ['right-key', 'other-key', 'right-kez', 'r', 'x'.repeat(1000), '']) {
      digest.mockClear();
      const headers = { Authorization: `Bearer ${key}` };
      const { status } = await locked.fetch(new Request('http://localhost/v1/models', { headers }));
      expect(status).toBe(key.endsWith('-key') ? 200 : 401);
      counts.push(digest.mock.calls.length);
    }
    // Every key is hashed for every request, and digests of one length are compared to their ends.
    expect(new Set(counts)).toEqual(new Set([3]));
    digest.mockRestore();
  });
});
