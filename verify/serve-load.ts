/**
 * Load tests of `ropewalk serve`: thousands of requests with flat memory, clients that read one byte per second,
 * clients that disappear, many connections.
 *
 *     npm run build
 *     node scripts/run-ts.js verify/serve-load.ts [--requests 10000] [--model MODEL.gguf] [--cache 32MB] [--only many,slow]
 *
 * Without a model, a tiny Llama. verify/serve.txt is what it printed.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import { saveUntrained, scratch } from '../test/helpers/models.node.ts';
import { LLAMA_LIKE } from '../test/helpers/serve.node.ts';

const { values: flags } = parseArgs({
  options: {
    requests: { type: 'string', default: '10000' },
    model: { type: 'string' },
    cache: { type: 'string', default: '0' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: 'connections,killed,vanishing,slow,many' },
  },
});
const { folder, remove } = scratch('serve-load');
const path = flags.model ?? join(folder, 'small');
if (flags.model === undefined)
  await saveUntrained(path, { max_position_embeddings: 4096, eos_token_id: [0] }, 'llama/tiny', LLAMA_LIKE);

const server = spawn(
  process.execPath,
  [
    ...['bin/ropewalk.js', 'serve', `small=${path}`, '--port', '0', '--quiet', '--no-page'],
    ...['--max-queue', '200', '--prefix-cache', flags.cache],
  ],
  { stdio: ['ignore', 'pipe', 'inherit'] },
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

/** Processor seconds of the server so far. */
function processorSeconds(): number {
  const fields = readFileSync(`/proc/${server.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident memory of the server in MB. */
function memory(): number {
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
}

const agent = new Agent({ connections: 16 });
const body = (more: object = {}) =>
  JSON.stringify({ model: 'small', prompt: '밧줄', max_tokens: 8, ...more });

async function ask(more: object = {}): Promise<number> {
  const { statusCode, body: answer } = await request(`${url}/v1/completions`, {
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

interface Rate {
  readonly perSecond: number;
  readonly perProcessorSecond: number;
}

/** Tokens of 8 clients over some rounds. */
async function rate(rounds: number): Promise<Rate> {
  const started = performance.now();
  const spent = processorSeconds();
  const before = await metric('ropewalk_tokens_total{model="small",kind="new"}');
  await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      for (let round = 0; round < rounds; round++)
        await ask({ max_tokens: 64, seed: 100 * i + round, logit_bias: { 0: -100 } });
    }),
  );
  const tokens = (await metric('ropewalk_tokens_total{model="small",kind="new"}')) - before;
  return {
    perSecond: (1000 * tokens) / (performance.now() - started),
    perProcessorSecond: tokens / (processorSeconds() - spent),
  };
}

/** The first 1000 requests are the warm-up. */
async function manyRequests(): Promise<void> {
  const total = Number(flags.requests);
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
  const growth = Math.max(...sizes.slice(1)) / sizes[0]! - 1;
  console.log(
    `${total} requests: ${wrong} failed; memory after each 1000 (MB): ${sizes.map((size) => size.toFixed(0)).join(' ')}; largest after the first 1000: ${percent(growth)} more`,
  );
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function slowReader(): Socket {
  const socket = connect(Number(port), '127.0.0.1');
  // Some 100 kB of log-probabilities.
  const text = body({ max_tokens: 100, stream: true, logprobs: 5, logit_bias: { 0: -100 } });
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
  socket.pause();
  const timer = setInterval(() => socket.read(1), 1000);
  socket.on('close', () => clearInterval(timer));
  socket.on('error', () => {});
  return socket;
}

/** Rounds with and without slow readers in turn, since the machine may be busy with other things. */
async function slowReaders(): Promise<void> {
  await rate(16);
  const [without, beside]: [Rate[], Rate[]] = [[], []];
  for (let round = 0; round < Number(flags.rounds); round++) {
    without.push(await rate(16));
    const slow = Array.from({ length: 100 }, slowReader);
    // Their own answers are made first; after that they only read.
    await sleep(500);
    while ((await metric('ropewalk_sequences{model="small"}')) > 0) await sleep(200);
    beside.push(await rate(16));
    for (const socket of slow) socket.destroy();
    await sleep(500);
  }
  for (const [key, unit] of [
    ['perSecond', 'second'],
    ['perProcessorSecond', 'processor second'],
  ] as const) {
    const [a, b] = [without, beside].map((rates) => rates.map((one) => one[key]).sort((x, y) => x - y));
    const middle = Math.floor(a!.length / 2);
    console.log(
      `100 clients that read a byte a second, ${a!.length} rounds with and without them: 8 others at ${b!.at(-1)!.toFixed(0)} (median ${b![middle]!.toFixed(0)}) tokens per ${unit} beside them, ${a!.at(-1)!.toFixed(0)} (${a![middle]!.toFixed(0)}) without: ${percent(b!.at(-1)! / a!.at(-1)!)} of the best, ${percent(b![middle]! / a![middle]!)} of the median`,
    );
  }
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
  const program = `const s=require('net').connect(${port},'127.0.0.1',()=>{s.write('POST /v1/completions HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Type: application/json\\r\\nContent-Length: 100000\\r\\n\\r\\n{"model"');console.log(1)});setInterval(()=>{},1000)`;
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
  const checks = { connections: manyConnections, killed, vanishing, slow: slowReaders, many: manyRequests };
  for (const name of flags.only.split(',')) await checks[name as keyof typeof checks]();
  console.log(execFileSync('uptime', { encoding: 'utf8' }).trim());
} finally {
  server.kill('SIGTERM');
  const [code] = await once(server, 'exit');
  console.log(`after SIGTERM: exit code ${code}`);
  await agent.close();
  remove();
}
