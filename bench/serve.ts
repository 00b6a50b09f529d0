/**
 * Throughput of `ropewalk serve` for several clients, against node-llama-cpp with as many sequences in one context,
 * interleaved over the same weights. The server is asked over HTTP with streaming. The library is Ropewalk without HTTP, in its
 * own process: the server's own cost. node-llama-cpp is called in its process.
 *
 *     npm run bench:serve -- --llama FOLDER [--clients 1,4,8,16] [--rounds 5] [--threads 2]
 *
 * FOLDER is where `npm install node-llama-cpp@3.22.1` was run. Weights are random: speed does not depend on them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { ModelFiles } from './inference/model-files.ts';
import { smol } from './inference/shapes.ts';

const { values: flags } = parseArgs({
  options: {
    llama: { type: 'string' },
    clients: { type: 'string', default: '1,4,8,16' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    prompt: { type: 'string', default: '128' },
    tokens: { type: 'string', default: '64' },
    types: { type: 'string', default: 'Q8_0,Q4_0' },
    work: { type: 'string', default: join(tmpdir(), 'ropewalk-bench') },
  },
});
const threads = Number(flags.threads);
const prompt = Number(flags.prompt);
const tokens = Number(flags.tokens);

interface Round {
  readonly seconds: number;
  readonly tokens: number;
  readonly first: readonly number[];
}

interface Contender {
  run(round: number): Promise<Round>;
  end(): Promise<void>;
}

const lines = ({ stdout }: ChildProcess) => createInterface({ input: stdout! })[Symbol.asyncIterator]();

async function startServer(model: string, clients: number): Promise<Contender> {
  const args = ['serve', `m=${model}`, '--port', '0', '--quiet', '--no-page', '--prefix-cache', '0'];
  const more = ['--activations', 'int8', '--max-sequences', String(clients), '--threads', String(threads)];
  const server = spawn(process.execPath, ['bin/ropewalk.js', ...args, ...more], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [, url] = /listening at (\S+)/.exec((await lines(server).next()).value ?? '')!;
  const ask = async (which: number, began: number) => {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        ...{ model: 'm', max_tokens: tokens, temperature: 0, stream: true },
        prompt: Array.from({ length: prompt }, (_, i) => 100 + ((i * 7919 + which * 104729) % 40000)),
        stream_options: { include_usage: true },
        logit_bias: Object.fromEntries([0, 1, 2].map((id) => [id, -100])),
      }),
    });
    let first: number | undefined;
    let text = '';
    const decoder = new TextDecoder();
    for await (const piece of response.body!) {
      first ??= (performance.now() - began) / 1000;
      text += decoder.decode(piece, { stream: true });
    }
    const [, count] = /"completion_tokens":(\d+)/.exec(text)!;
    return { first: first!, count: Number(count) };
  };
  return {
    async run(round) {
      const began = performance.now();
      const done = await Promise.all(Array.from({ length: clients }, (_, i) => ask(100 * round + i, began)));
      const seconds = (performance.now() - began) / 1000;
      return {
        seconds,
        tokens: done.reduce((sum, { count }) => sum + count, 0),
        first: done.map(({ first }) => first),
      };
    },
    async end() {
      server.kill('SIGTERM');
      await once(server, 'exit');
    },
  };
}

/** A contender that runs once for each line that it is sent. */
async function startProgram(program: string, settings: object): Promise<Contender> {
  const child = spawn(process.execPath, [program, JSON.stringify(settings)], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const answers = lines(child);
  await answers.next();
  return {
    async run() {
      child.stdin.write('run\n');
      return JSON.parse((await answers.next()).value as string) as Round;
    },
    async end() {
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

/** Tokens a second of each round. */
function rates(rounds: readonly Round[]): number[] {
  return rounds.map(({ seconds, tokens: count }) => count / seconds);
}

function report(name: string, rounds: readonly Round[]): string {
  const first = rounds.flatMap((round) => round.first).map((seconds) => 1000 * seconds);
  return `${name}: best ${Math.max(...rates(rounds)).toFixed(0)} tokens/s, median ${quantile(rates(rounds), 0.5).toFixed(0)}; first token p50 ${quantile(first, 0.5).toFixed(0)} ms, p99 ${quantile(first, 0.99).toFixed(0)} ms`;
}

console.log(
  `${cpus()[0]!.model}, ${cpus().length} processors, ${threads} threads; prompts of ${prompt} tokens, ${tokens} new ones`,
);
const files = new ModelFiles('smol', smol, flags.work);
for (const type of flags.types.split(',')) {
  const model = await files.gguf(type as 'Q8_0' | 'Q4_0');
  for (const clients of flags.clients.split(',').map(Number)) {
    const settings = { model: resolve(model), threads, sequences: clients, prompt, tokens };
    const library = { ...settings, package: resolve('dist/bundle/node.js') };
    const contenders: [string, Contender][] = [
      ['server', await startServer(model, clients)],
      ['library', await startProgram('bench/rivals/ropewalk-many.mjs', library)],
    ];
    if (flags.llama !== undefined) {
      const rival = { ...settings, folder: resolve(flags.llama) };
      contenders.push(['node-llama-cpp', await startProgram('bench/rivals/node-llama-cpp-many.mjs', rival)]);
    }
    const results = new Map<string, Round[]>(contenders.map(([name]) => [name, []]));
    for (const [, contender] of contenders) await contender.run(0);
    for (let round = 1; round <= Number(flags.rounds); round++) {
      const order = round % 2 === 0 ? [...contenders].reverse() : contenders;
      for (const [name, contender] of order) results.get(name)!.push(await contender.run(round));
    }
    console.log(`SmolLM2-135M shape, ${type}, ${clients} clients (load ${loadavg()[0]!.toFixed(1)})`);
    for (const [name, rounds] of results) console.log(`  ${report(name, rounds)}`);
    const best = (name: string) => Math.max(...rates(results.get(name)!));
    const cost = best('library') / best('server') - 1;
    console.log(`  HTTP adds ${(100 * cost).toFixed(1)} % to a token`);
    for (const [, contender] of contenders) await contender.end();
  }
}
