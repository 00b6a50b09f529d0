/**
 * Load tests of `ropewalk serve`: thousands of requests with flat memory, clients that read one byte per second,
 * clients that disappear, many connections.
 *
 *     npm run build && node scripts/run-ts.js verify/serve-load.ts [REQUESTS]
 *
 * verify/serve.txt records the output.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { saveUntrained, scratch } from '../test/helpers/models.node.ts';
import { LLAMA_LIKE } from '../test/helpers/serve.node.ts';

const [count = '10000'] = process.argv.slice(2);
const { folder, remove } = scratch('serve-load');
const path = join(folder, 'small');
await saveUntrained(path, { max_position_embeddings: 4096, eos_token_id: [0] }, 'llama/tiny', LLAMA_LIKE);

const server = spawn(
  process.execPath,
  [
    'bin/ropewalk.js',
    'serve',
    path,
    '--port',
    '0',
    '--quiet',
    '--no-page',
    '--max-queue',
    '200',
    '--prefix-cache',
    '32MB',
  ],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
const url = await addressOf(server);
const { port } = new URL(url);

async function addressOf({ stdout }: ChildProcess): Promise<string> {
  for await (const text of stdout!) {
    const [, found] = /listening at (\S+)/.exec(String(text)) ?? [];
    if (found) return found;
  }
  throw new Error('the server has ended');
}

/** Resident memory of the server in MB. */
function memory(): number {
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
}

const agent = new Agent({ connections: 16 });
const body = (more: object = {}) =>
  JSON.stringify({ model: 'small', messages: [{ role: 'user', content: '밧줄' }], max_tokens: 8, ...more });

async function ask(more: object = {}): Promise<number> {
  const { statusCode, body: answer } = await request(`${url}/v1/chat/completions`, {
    ...{ method: 'POST', dispatcher: agent, headers: { 'content-type': 'application/json' } },
    body: body(more),
  });
  await answer.text();
  return statusCode;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(name))
      ?.split(' ')
      .at(-1),
  );
}

/** Tokens per second of 8 clients over several rounds. */
async function rate(rounds: number): Promise<number> {
  const started = performance.now();
  const before = await metric('ropewalk_tokens_total{model="small",kind="new"}');
  await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      for (let round = 0; round < rounds; round++)
        await ask({ max_tokens: 64, seed: 100 * i + round, logit_bias: { 0: -100 } });
    }),
  );
  const tokens = (await metric('ropewalk_tokens_total{model="small",kind="new"}')) - before;
  return (1000 * tokens) / (performance.now() - started);
}

async function manyRequests(): Promise<void> {
  const total = Number(count);
  const sizes: number[] = [];
  let wrong = 0;
  for (let done = 0; done < total; ) {
    const statuses = await Promise.all(
      Array.from({ length: 8 }, (_, i) => ask({ seed: done + i, stream: (done + i) % 2 === 0 })),
    );
    wrong += statuses.filter((status) => status !== 200).length;
    done += statuses.length;
    if (done % 1000 < 8) sizes.push(memory());
  }
  const after = Math.max(...sizes.slice(-3)) / sizes[0]! - 1;
  console.log(
    `${total} requests: ${wrong} failed; memory after each 1000 (MB): ${sizes.map((size) => size.toFixed(0)).join(' ')}; growth after the first 1000: ${(100 * after).toFixed(1)} %`,
  );
}

function slowReader(): Socket {
  const socket = connect(Number(port), '127.0.0.1');
  const text = body({ max_tokens: 400, stream: true, logit_bias: { 0: -100 } });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
  socket.pause();
  const timer = setInterval(() => socket.read(1), 1000);
  socket.on('close', () => clearInterval(timer));
  socket.on('error', () => {});
  return socket;
}

async function slowReaders(): Promise<void> {
  await rate(2);
  const alone = [await rate(6)];
  const slow = Array.from({ length: 100 }, slowReader);
  // Their own answers are generated first; after that they only read.
  const began = performance.now();
  await sleep(500);
  while ((await metric('ropewalk_sequences{model="small"}')) > 0) await sleep(200);
  const seconds = (performance.now() - began) / 1000;
  const beside = await rate(6);
  for (const socket of slow) socket.destroy();
  await sleep(500);
  alone.push(await rate(6));
  const mean = (alone[0]! + alone[1]!) / 2;
  console.log(
    `100 clients that read a byte a second (their answers made in ${seconds.toFixed(1)} s): 8 others at ${beside.toFixed(0)} tokens/s beside them, ${alone[0]!.toFixed(0)} and ${alone[1]!.toFixed(0)} without: ${((100 * beside) / mean).toFixed(0)} % of their mean`,
  );
}

async function vanishing(): Promise<void> {
  const started = 64;
  for (let i = 0; i < started; i++) {
    const socket = slowReader();
    socket.resume();
    await sleep(10 * (i % 7));
    socket.destroy();
  }
  const began = performance.now();
  while ((await metric('ropewalk_sequences{model="small"}')) > 0) await sleep(5);
  console.log(
    `${started} clients that vanish at any moment: all places free ${(performance.now() - began).toFixed(0)} ms after the last`,
  );
}

/** A client that is killed in the middle of a request body. */
async function killed(): Promise<void> {
  const program = `const s=require('net').connect(${port},'127.0.0.1',()=>{s.write('POST /v1/chat/completions HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Type: application/json\\r\\nContent-Length: 100000\\r\\n\\r\\n{"model"');console.log(1)});setInterval(()=>{},1000)`;
  for (let i = 0; i < 5; i++) {
    const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  console.log(`5 clients killed in the middle of a body: the next request has status ${await ask()}`);
}

async function manyConnections(): Promise<void> {
  const sockets = await Promise.all(
    Array.from({ length: 1000 }, async () => {
      const socket = connect(Number(port), '127.0.0.1').on('error', () => {});
      await once(socket, 'connect');
      return socket;
    }),
  );
  const status = await ask();
  for (const socket of sockets) socket.destroy();
  console.log(`1000 open connections: a request beside them has status ${status}`);
}

console.log(execFileSync('uptime', { encoding: 'utf8' }).trim());
try {
  await manyConnections();
  await killed();
  await vanishing();
  await slowReaders();
  await manyRequests();
  console.log(execFileSync('uptime', { encoding: 'utf8' }).trim());
} finally {
  server.kill('SIGTERM');
  const [code] = await once(server, 'exit');
  console.log(`after SIGTERM: exit code ${code}`);
  await agent.close();
  remove();
}
