import { getEventListeners } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RopewalkError } from '../src/errors.ts';
import type { LanguageModel } from '../src/generation/language-model.ts';
import { load } from '../src/generation/load.node.ts';
import { loadHere } from '../src/generation/load-here.node.ts';
import type { LocalModel } from '../src/generation/local-model.ts';
import { AHEAD, type ModelPort } from '../src/generation/worker/model-connection.ts';
import type { Reply } from '../src/generation/worker/model-protocol.ts';
import { park, startWorker, workerPort } from '../src/generation/worker/model-worker.node.ts';
import { RemoteModel } from '../src/generation/worker/remote-model.ts';
import { buildProgram, start } from './helpers/cli.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';
import { threadCpuMilliseconds, until } from './helpers/work.node.ts';

/** A model in a worker thread: the same answers as in this one, while this one's event loop stays free. */

const { folder, remove } = scratch('worker');
afterAll(remove);
const small = join(folder, 'small');
const slow = join(folder, 'slow');

let here: LocalModel;
let there: LanguageModel;
beforeAll(async () => {
  await saveUntrained(small, { max_position_embeddings: 4096 });
  here = await loadHere(small, { threads: 1 });
  there = await load(small, { threads: 1 });
});
afterAll(async () => {
  await here?.release();
  await there?.release();
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** A model in a thread whose messages the test sees. */
async function observed() {
  const worker = startWorker();
  const replies: Reply[] = [];
  const port = workerPort(worker);
  const watched: ModelPort = {
    ...port,
    listen: (onReply, onEnd) =>
      port.listen((reply) => {
        replies.push(reply);
        onReply(reply);
      }, onEnd),
  };
  const model = await RemoteModel.load(watched, small, { threads: 1 } as object);
  const itemsOf = (id: number) => replies.filter((reply) => reply.type === 'item' && reply.id === id).length;
  return { model, worker, replies, itemsOf };
}

const endless = { maxTokens: 4000, seed: 1, stopTokens: [] };
const messages = [{ role: 'user', content: '밧줄?' }] as const;

describe('a model in a worker thread', () => {
  it('has the same properties as in this thread', () => {
    expect(there.family).toBe(here.family);
    expect(there.config).toEqual(here.config);
    expect(there.maxPositions).toBe(4096);
    expect(there.stopTokens).toEqual(here.stopTokens);
  });

  it('gives the results that it gives in this thread', async () => {
    const sampling = { maxTokens: 60, seed: 3, temperature: 0.9, stopTokens: [] };
    expect(await collect(there.generate('밧줄', sampling))).toEqual(
      await collect(here.generate('밧줄', sampling)),
    );
    const prompt = here.tokenizer.encode('a ropewalk is');
    expect(await there.encode('a ropewalk is')).toEqual(prompt);
    expect(await there.decode(prompt)).toBe(here.tokenizer.decode(prompt));
    expect(await collect(there.generateTokens(Int32Array.from(prompt), sampling))).toEqual(
      await collect(here.generateTokens(prompt, sampling)),
    );
    expect(await there.logits(prompt)).toEqual(await here.logits(prompt));
    expect(await there.score('a ropewalk is a long lane')).toEqual(
      await here.score('a ropewalk is a long lane'),
    );
    for (const options of [
      { maxTokens: 30, seed: 5, remember: true },
      { maxTokens: 3, greedy: true },
    ]) {
      for (let turn = 0; turn < 2; turn++) {
        const [far, near] = [there, here].map((model) => reply(model, options));
        expect(await far).toEqual(await near);
      }
    }
  });

  async function reply(model: LanguageModel, options: Parameters<LanguageModel['chat']>[1]) {
    const pieces = model.chat(messages, options);
    let text = '';
    for (;;) {
      const { done, value } = await pieces.next();
      if (done) return { text, end: value };
      text += value;
    }
  }

  it('accepts a chat template from the caller', async () => {
    const template = "{{ messages[0]['content'] }}";
    const text = (await collect(there.chat(messages, { template, maxTokens: 20, greedy: true }))).join('');
    const plain = await collect(here.generate('밧줄?', { maxTokens: 20, greedy: true }));
    expect(text).toBe(plain.join(''));
  });

  it('rejects with the same errors, which are RopewalkErrors', async () => {
    const failing: ((model: LanguageModel) => Promise<unknown>)[] = [
      (model) => collect(model.generate('a', { maxTokens: 5000 })),
      (model) => collect(model.generate('a', { maxTokens: 5, temperature: -1 })),
      (model) => collect(model.generateTokens([999_999], { maxTokens: 5 })),
      (model) => collect(model.generateTokens([], { maxTokens: 5 })),
      (model) => collect(model.generate('a', { maxTokens: 9, jsonSchema: { not: {} } })),
      (model) => collect(model.chat([])),
      (model) => collect(model.chat(messages, { template: '{% if %}' })),
      (model) => model.score(''),
      (model) => model.score('a rope', { window: 1 }),
      (model) => model.logits([1.5]),
      (model) => model.logits(new Int32Array(5000)),
    ];
    for (const fails of failing) {
      const [near, far] = await Promise.all(
        [here, there].map((model) => fails(model).catch((e: unknown) => e)),
      );
      expect(near, String(fails)).toBeInstanceOf(RopewalkError);
      expect(far, String(fails)).toBeInstanceOf(RopewalkError);
      expect((far as Error).message).toBe((near as Error).message);
    }
    const nothing = join(folder, 'nothing');
    const [near, far] = await Promise.all(
      [loadHere, load].map((each) => each(nothing).catch((e: unknown) => e)),
    );
    expect(far).toBeInstanceOf(RopewalkError);
    expect((far as Error).message).toBe((near as Error).message);
  });

  it('reports a value that cannot be sent between threads', async () => {
    const options = { maxTokens: 5, jsonSchema: { custom: () => true } } as object;
    const failed = collect(there.generate('a', options as { maxTokens: number }));
    await expect(failed).rejects.toThrow(RopewalkError);
    await expect(collect(there.generate('a', options as { maxTokens: number }))).rejects.toThrow(
      /plain values/,
    );
  });

  it('reports the progress of loading in order', async () => {
    const shares: number[] = [];
    const quantize = { bits: 8, block: 64 } as const;
    const model = await load(small, { quantize, onProgress: (share) => shares.push(share) });
    await model.release();
    expect(shares.length).toBeGreaterThan(1);
    expect(shares.toSorted((a, b) => a - b)).toEqual(shares);
    expect(shares.at(-1)).toBeCloseTo(1, 6);
    const broken = load(small, {
      quantize,
      onProgress: () => {
        throw new RangeError("the caller's own");
      },
    });
    await expect(broken).rejects.toThrow(RangeError);
  });
});

describe('the abort signal of a model in a worker thread', () => {
  for (const [name, model] of [
    ['in this thread', () => here],
    ['in a worker', () => there],
  ] as const) {
    it(`stops every call with its own reason, and the model stays usable (${name})`, async () => {
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      const ids = Array.from({ length: 2000 }, (_, i) => i % 300);
      const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
        (signal) => collect(model().generate('밧줄', { ...endless, signal })),
        (signal) => collect(model().generateTokens(ids, { maxTokens: 2000, stopTokens: [], signal })),
        (signal) => collect(model().chat(messages, { maxTokens: 4000, stopTokens: [], signal })),
        (signal) => model().score([...ids, ...ids, ...ids, ...ids], { signal }),
        (signal) => model().logits(ids, { signal }),
      ];
      for (const call of calls) {
        await expect(call(aborted)).rejects.toBe(reason);
        const controller = new AbortController();
        const running = call(controller.signal);
        // Once the call has begun, and long before any of them can have ended.
        setImmediate(() => controller.abort(reason));
        await expect(running, String(call)).rejects.toBe(reason);
      }
      await expect(model().encode('a', { signal: aborted })).rejects.toBe(reason);
      expect(await collect(model().generate('밧줄', { maxTokens: 3, greedy: true }))).not.toEqual([]);
    });
  }

  it('is accepted by more than ten calls, at once and in turn, without a warning about a leak', async () => {
    const warnings: string[] = [];
    const listener = ({ name }: Error) => warnings.push(name);
    process.on('warning', listener);
    try {
      for (const model of [here, there]) {
        const { signal } = new AbortController();
        const call = () => collect(model.generate('밧줄', { maxTokens: 2, greedy: true, signal }));
        await Promise.all(Array.from({ length: 12 }, call));
        for (let i = 0; i < 12; i++) await call();
        await Promise.all(Array.from({ length: 12 }, () => model.encode('a', { signal })));
        expect(getEventListeners(signal, 'abort')).toEqual([]);
      }
      // Warnings are told after the work that caused them.
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.off('warning', listener);
    }
    expect(warnings).not.toContain('MaxListenersExceededWarning');
  });

  it('stops loading', async () => {
    const reason = new Error('enough');
    await expect(load(small, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const loading = load(small, { signal: controller.signal });
    setImmediate(() => controller.abort(reason));
    await expect(loading).rejects.toBe(reason);
  });
});

describe('a stream from a worker thread', () => {
  it('does not run ahead of a slow reader, nor on after the reader left', async () => {
    const { model, replies, itemsOf } = await observed();
    const pieces = model.generateTokens([5, 6], endless);
    await pieces.next();
    await until(() => itemsOf(1) === AHEAD, 'all that the reader gave credit for');
    await sleep(200);
    expect(itemsOf(1)).toBe(AHEAD);
    for (let i = 0; i < 20; i++) await pieces.next();
    await sleep(200);
    expect(itemsOf(1)).toBeLessThanOrEqual(21 + AHEAD);
    await pieces.return();
    await until(() => replies.at(-1)?.type === 'failed', 'the work has ended');
    const before = itemsOf(1);
    await sleep(200);
    expect(itemsOf(1)).toBe(before);
    await model.release();
  });

  it('stops when a for await loop is left', async () => {
    const { model, replies } = await observed();
    let seen = 0;
    for await (const _ of model.generateTokens([5, 6], endless)) if (++seen === 5) break;
    await until(() => replies.at(-1)?.type === 'failed', 'the work has ended');
    expect(replies.at(-1)).toMatchObject({ type: 'failed', id: 1 });
    expect(replies.length).toBeLessThan(100);
    await model.release();
  });

  it('stops when nobody holds it any more', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const { model, replies } = await observed();
    await (async () => {
      await model.generateTokens([5, 6], endless).next();
    })();
    const collected = () => {
      collectGarbage();
      return replies.at(-1)?.type === 'failed';
    };
    await until(collected, 'the work has ended');
    expect(replies.at(-1)).toMatchObject({ type: 'failed', id: 1 });
    await model.release();
  });

  it('gives the same beside another stream as alone, taking turns', async () => {
    const { model, replies } = await observed();
    const ways = [1, 2, 3].map((seed) => ({ maxTokens: 80, seed, temperature: 1.2, stopTokens: [] }));
    const prompts = [[5, 6, 7], [9], Array.from({ length: 600 }, (_, i) => i % 290)];
    const alone: number[][] = [];
    for (const [i, way] of ways.entries()) alone.push(await collect(here.generateTokens(prompts[i]!, way)));
    const scored = here.score(prompts[2]!);
    const together = await Promise.all([
      ...ways.map((way, i) => collect(model.generateTokens(prompts[i]!, way))),
      model.score(prompts[2]!),
    ]);
    expect(together).toEqual([...alone, await scored]);
    // The two with short prompts: neither is more than a window of credit ahead of the other.
    const counts = [0, 0];
    for (const reply of replies) {
      if (reply.type !== 'item' || reply.id > 2) continue;
      counts[reply.id - 1]!++;
      expect(Math.abs(counts[0]! - counts[1]!)).toBeLessThanOrEqual(AHEAD);
    }
    expect(counts).toEqual([80, 80]);
    await model.release();
  });
});

describe('the end of a model in a worker thread', () => {
  it('is reported to waiting and to later callers', async () => {
    const { model, worker } = await observed();
    const running = collect(model.generateTokens([5], endless));
    const suspended = model.generateTokens([5], endless);
    await suspended.next();
    park(worker);
    await worker.terminate();
    for (const failed of [
      running,
      collect(suspended),
      model.encode('a'),
      collect(model.generate('a', endless)),
    ]) {
      const error = await failed.then(
        () => undefined,
        (e: unknown) => e,
      );
      expect(error).toBeInstanceOf(RopewalkError);
      expect((error as Error).message).toMatch(
        /thread has ended: it exited with code 1\. Load the model again/,
      );
    }
    await model.release();
  });

  it('is reported with its cause after a failure in the thread', async () => {
    const { model, worker } = await observed();
    // Not a request: the thread's program stumbles over it.
    worker.postMessage(null);
    await expect(collect(model.generateTokens([5], endless))).rejects.toThrow(/thread has ended: .*null/);
    await model.release();
  });

  for (const [name, open] of [
    ['in this thread', loadHere],
    ['in a worker', load],
  ] as const) {
    it(`by release stops running calls and refuses later ones (${name})`, async () => {
      const model: LanguageModel = await open(small, { threads: 1 });
      const running = collect(model.generate('a', endless)).catch((e: unknown) => e);
      const suspended = model.generate('a', endless);
      await suspended.next();
      await Promise.all([model.release(), model.release()]);
      const errors = [
        running,
        collect(suspended).catch((e: unknown) => e),
        model.encode('a').catch((e: unknown) => e),
      ];
      for (const error of errors) {
        expect(await error).toBeInstanceOf(RopewalkError);
        expect(((await error) as Error).message).toBe('the model has been released; load it again.');
      }
    });
  }

  it('comes with the end of its await using block', async () => {
    const model = await (async () => {
      await using used = await load(small, { threads: 1 });
      await used.encode('a');
      return used;
    })();
    await expect(model.encode('a')).rejects.toThrow('the model has been released');
  });

  it.each(['nothing', 'suspended', 'exit'])('is not awaited when a process forgets it (%s)', async (left) => {
    const program = await buildProgram('test/helpers/worker-child.node.ts');
    const running = start(program, [small, left]);
    const { code, stdout, stderr } = await running.finished;
    expect({ code, stdout, stderr }).toEqual({
      code: left === 'exit' ? 3 : 0,
      stdout: 'a piece\n',
      stderr: '',
    });
  });
});

describe('the engine with telemetry turned off', () => {
  it.each(['load', 'loadHere', 'nested'])('sends no reports, whatever thread it is in (%s)', async (left) => {
    const program = await buildProgram('test/helpers/worker-child.node.ts');
    // Only the engine's reports read the command line, and one of this length ended the process.
    const running = start(program, [small, left, 'x'.repeat(100_000)]);
    const { code, stdout, signal } = await running.finished;
    expect({ code, stdout, signal }).toEqual({ code: 0, stdout: 'a piece\n', signal: null });
  });
});

/** Node tells no thread's own time before version 23; Linux does. */
const told = threadCpuMilliseconds() !== undefined;
if (!told) console.log('skipped: this system does not tell how long one thread was at work');

describe.skipIf(!told)('the calling thread', () => {
  const prompt = Array.from({ length: 1024 }, (_, i) => i % 300);

  /** The longest that this thread was at work without a turn of its event loop, in ms of processor time. */
  async function lateness(work: () => Promise<unknown>): Promise<number> {
    let worst = 0;
    let working = true;
    const ticking = (async () => {
      while (working) {
        const before = threadCpuMilliseconds()!;
        await sleep(10);
        worst = Math.max(worst, threadCpuMilliseconds()! - before);
      }
    })();
    try {
      await work();
    } finally {
      working = false;
      await ticking;
    }
    return worst;
  }

  /** Loads, runs a long prompt and some tokens, and releases. The best of several attempts: garbage is collected. */
  async function best(open: (path: string, options: object) => Promise<LanguageModel>, attempts: number) {
    const least = { loading: Number.POSITIVE_INFINITY, generating: Number.POSITIVE_INFINITY };
    for (let i = 0; i < attempts && Math.max(least.loading, least.generating) > 50; i++) {
      let model!: LanguageModel;
      const loading = await lateness(async () => {
        model = await open(slow, { quantize: { bits: 8, block: 64 }, threads: 1 });
      });
      const generating = await lateness(() =>
        collect(model.generateTokens(prompt, { maxTokens: 20, greedy: true, stopTokens: [] })),
      );
      await model.release();
      least.loading = Math.min(least.loading, loading);
      least.generating = Math.min(least.generating, generating);
    }
    return least;
  }

  beforeAll(async () => {
    await saveUntrained(slow, {
      hidden_size: 512,
      intermediate_size: 1536,
      num_hidden_layers: 12,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      head_dim: 64,
      vocab_size: 8000,
      max_position_embeddings: 2048,
    });
  });

  it('never works for more than 50 ms at a time when the model runs in a worker', async () => {
    const { loading, generating } = await best(load, 6);
    expect(loading).toBeLessThanOrEqual(50);
    expect(generating).toBeLessThanOrEqual(50);
  });

  it('works longer than that when the model runs in it: a chunk of the prompt takes that long', async () => {
    // Loading yields between the matrices that it reads.
    const { generating } = await best(loadHere, 3);
    expect(generating).toBeGreaterThan(50);
  });
});
