/*
 * Caches on a device, beside the same ones in memory: `node child.js`. In a process of its own, since a graphics driver that
 * crashes takes its process with it. Prints one line of JSON for each check: {check, value}. The device checks every call.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openModel } from '../../src/checkpoint/load.node.ts';
import { PrefixCache } from '../../src/generation/cache/prefix-cache.ts';
import { createDecoder } from '../../src/generation/decoder.node.ts';
import { Decoder } from '../../src/generation/decoder.ts';
import { generateTokens } from '../../src/generation/generate.ts';
import { prefill } from '../../src/generation/prefill.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { relativeError } from './numbers.ts';
import { build, type RawConfig, randomWeights } from './random-models.node.ts';

/** One whose attention has a kernel there, one whose attention has none (soft caps), with windows. */
const CASES = ['mistral', 'gemma2'];

const report = (check: string, value: unknown) => writeSync(1, `${JSON.stringify({ check, value })}\n`);
const ids = (count: number, seed: number, vocab: number) =>
  Array.from({ length: count }, (_, i) => (seed * 31 + i * 17 + ((i * i) % 7)) % vocab);

/** An engine whose sessions write profiles into a folder; the first session decides how much the device checks. */
function checkedEngine(folder: string): Engine {
  const plain = nodeEngine({ provider: 'webgpu', threads: 1, profile: join(folder, 'profile') });
  return {
    ...plain,
    runtime: {
      ...plain.runtime,
      InferenceSession: {
        create: (model, options, ...rest) =>
          plain.runtime.InferenceSession.create(
            model,
            {
              ...options,
              extra: { ...options?.extra, ep: { webgpuexecutionprovider: { validationMode: 'full' } } },
            },
            ...rest,
          ),
      },
    },
  };
}

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-device-'));
const engine = checkedEngine(folder);
const keeper = await createDecoder(await openModel(pathOf('gpt2')), { engine: withoutMemory(engine) });

for (const name of CASES) await check(name);
await keeper.release();
rmSync(folder, { recursive: true });

function pathOf(name: string): string {
  return fileURLToPath(new URL(`../reference/${name}`, import.meta.url));
}

function withoutMemory({ openMemory: _, ...rest }: Engine): Engine {
  return rest;
}

async function check(name: string): Promise<void> {
  const raw = JSON.parse(readFileSync(join(pathOf(name), 'config.json'), 'utf8')) as RawConfig;
  const model = build({ ...raw, head_dim: 16, max_position_embeddings: 512 });
  const weights = randomWeights(model, 1);
  const there = await Decoder.create(engine, model, weights);
  const here = await Decoder.create(nodeEngine({ threads: 1 }), model, weights);
  const vocab = model.config.vocab_size;
  let worst = 0;
  const compare = (actual: Float32Array, wanted: Float32Array) => {
    worst = Math.max(worst, relativeError(actual, wanted));
  };
  const both = [there, here] as const;
  const together = async <T>(run: (decoder: Decoder) => Promise<T>) =>
    [await run(there), await run(here)] as const;

  // Far past the window and the first capacity, rewound, forked, and continued apart.
  const caches = both.map((decoder) => decoder.newCache()) as [
    ReturnType<Decoder['newCache']>,
    ReturnType<Decoder['newCache']>,
  ];
  const cacheOf = (decoder: Decoder) => caches[decoder === there ? 0 : 1];
  const forward = async (tokens: readonly number[], rows: 'last' | 'all' = 'last', from = cacheOf) => {
    const [actual, wanted] = await together((decoder) => decoder.forward(tokens, from(decoder), rows));
    compare(actual, wanted);
  };
  await forward(ids(40, 1, vocab), 'all');
  for (let i = 0; i < 5; i++) await forward(ids(31, i, vocab), 'all');
  for (const cache of caches) cache.truncate(cache.position - 3);
  await forward(ids(2, 5, vocab));
  const forks = caches.map((cache) => cache.clone(cache.position - 1));
  await forward([7]);
  await forward([9, 11], 'all', (decoder) => forks[decoder === there ? 0 : 1]!);
  await forward([3]);
  report(`${name}: cache`, worst);
  worst = 0;

  // Sequences of different lengths join and leave; a copy goes on alone.
  const batches = both.map((decoder) => decoder.newBatchCache(3));
  const batchOf = (decoder: Decoder) => batches[decoder === there ? 0 : 1]!;
  const step = async (tokens: readonly number[]) => {
    const [actual, wanted] = await together((decoder) => decoder.forwardBatch(tokens, batchOf(decoder)));
    compare(actual, wanted);
  };
  const joinBoth = async (length: number, seed: number) => {
    await together(async (decoder) => {
      const cache = decoder.newCache();
      await prefill(decoder, cache, ids(length, seed, vocab));
      batchOf(decoder).join(cache);
      cache.release();
    });
  };
  await joinBoth(5, 1);
  await step([1]);
  await joinBoth(30, 2);
  await joinBoth(12, 3);
  for (let i = 0; i < 12; i++) await step([i, i + 1, i + 2]);
  const copies = batches.map((batch) => batch.copy(1));
  for (const batch of batches) batch.leave(0);
  await step([4, 5]);
  await forward([6], 'last', (decoder) => copies[decoder === there ? 0 : 1]!);
  report(`${name}: batch`, worst);

  // What crosses for a token: its id, places and angles; its logits.
  const before = there.traffic;
  for (let i = 0; i < 4; i++) await there.forward([i], caches[0]);
  const after = there.traffic;
  report(`${name}: written`, (after.written - before.written) / 4);
  report(`${name}: read`, (after.read - before.read) / 4 - 4 * vocab);

  // Greedy texts, with guesses from the text itself, then with a known prefix.
  const text = async (decoder: Decoder, options: object) => {
    const found: number[] = [];
    for await (const id of generateTokens(decoder, ids(30, 4, vocab), {
      maxTokens: 12,
      greedy: true,
      ...options,
    }))
      found.push(id);
    return found.join();
  };
  const known = both.map((decoder) => new PrefixCache(decoder));
  const [plain, wanted] = await together((decoder) => text(decoder, {}));
  const [guessed] = await together((decoder) => text(decoder, { speculate: 'lookup' }));
  const prefixed: string[] = [];
  for (let i = 0; i < 2; i++) prefixed.push(await text(there, { prefixCache: known[0] }));
  report(
    `${name}: texts`,
    [plain, guessed, ...prefixed].every((found) => found === wanted),
  );
  report(`${name}: prefix`, known[0]!.size > 0);

  there.endProfiling();
  const { elsewhere, kinds } = operators();
  report(`${name}: elsewhere`, elsewhere);
  report(
    `${name}: attention`,
    ['GroupQueryAttention', 'ScatterND'].filter((kind) => kinds.has(kind)),
  );
  const held = there.deviceBytes!;
  for (let i = 0; i < 5; i++) {
    const cache = there.newCache();
    await there.forward(ids(20, i, vocab), cache);
    cache.release();
  }
  report(`${name}: leaked`, there.deviceBytes! - held);
  await there.release();
  await here.release();
}

/** From the profiles: the kinds of operators, and those that did not run on the device or copy between it and here. */
function operators() {
  const kinds = new Set<string>();
  const elsewhere = new Set<string>();
  for (const file of readdirSync(folder)) {
    let events: { cat: string; args: { op_name: string; provider?: string } }[];
    try {
      events = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    } catch {
      continue; // of a session that still runs
    }
    rmSync(join(folder, file));
    for (const { cat, args } of events) {
      if (cat !== 'Node' || !args.provider) continue;
      kinds.add(args.op_name);
      if (args.provider !== 'WebGpuExecutionProvider' || args.op_name.startsWith('Memcpy'))
        elsewhere.add(`${args.op_name} on ${args.provider}`);
    }
  }
  return { kinds, elsewhere: [...elsewhere] };
}
