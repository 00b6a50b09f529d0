import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Agreement, compare } from './agreement.ts';
import type { ReadBandwidth } from './bandwidth.ts';
import { Contender, type Entrant } from './contender.ts';
import { median, Samples } from './samples.ts';

/** What is measured for each contender. */
export interface Plan {
  readonly rounds: number;
  /** Context lengths before the decoded tokens. */
  readonly contexts: readonly number[];
  /** Tokens per decode measurement. */
  readonly decode: number;
  /** Tokens of the timed prompt. */
  readonly prefill: number;
  /** Tokens of the prompt for cold starts. */
  readonly coldPrompt: number;
  readonly coldRounds: number;
}

/** One contender's measurements, in seconds and bytes. */
export interface Result {
  readonly entrant: Entrant;
  about: string;
  /** Per token, by context length. */
  readonly decode: Map<number, Samples>;
  /** For the whole prompt. */
  readonly prefill: Samples;
  /** From process start to the first token. */
  readonly cold: Samples;
  coldBytes: number;
  peakBytes: number;
  loadSeconds: number;
  /** Agreement with the first contender. */
  agreement?: Agreement;
}

/** A cold start that takes longer than this, in seconds, is not repeated: it quantizes while loading. */
const LONG_COLD_START = 12;

/** Engine threads spin for a while after a run: the next contender waits until they are idle. */
const REST_MS = 60;

/**
 * Measures contenders with the same weights: every round times each once, so that a slow moment of the machine affects
 * all of them.
 */
export async function runMatch(
  entrants: readonly Entrant[],
  plan: Plan,
  bandwidth: ReadBandwidth,
  onRead: (bytesPerSecond: number) => void,
): Promise<Result[]> {
  const results = entrants.map((entrant): Result => newResult(entrant, plan));
  for (let round = 0; round < plan.coldRounds; round++) {
    for (const result of results) {
      if (result.entrant.skipColdStart || (round > 0 && result.cold.best > LONG_COLD_START)) continue;
      const { seconds, bytes } = await Contender.coldStart(result.entrant, plan.coldPrompt);
      result.cold.add(seconds);
      result.coldBytes = Math.max(result.coldBytes, bytes);
    }
    note(`cold start ${round + 1}/${plan.coldRounds}`);
  }
  const contenders: Contender[] = [];
  try {
    for (const entrant of entrants) contenders.push(await Contender.start(entrant));
    for (const [i, contender] of contenders.entries()) {
      const result = results[i]!;
      result.about = contender.about;
      result.loadSeconds = contender.loadSeconds;
      if (i > 0) result.agreement = await compare(contenders[0]!, contender);
    }
    await rounds('prefill', contenders, plan, bandwidth, onRead, async (contender, i, counts) => {
      const { seconds } = await contender.ask<{ seconds: number }>(`prefill ${plan.prefill}`);
      if (counts) results[i]!.prefill.add(seconds);
    });
    for (const context of plan.contexts) {
      await rounds(
        `decode at ${context}`,
        contenders,
        plan,
        bandwidth,
        onRead,
        async (contender, i, counts) => {
          const count = counts ? plan.decode : 8;
          const { seconds } = await contender.ask<{ seconds: number[] }>(`decode ${context} ${count}`);
          // The median over many tokens: one that waited for another process is not representative.
          if (counts) results[i]!.decode.get(context)!.add(median(seconds));
        },
      );
    }
    contenders.forEach((contender, i) => {
      results[i]!.peakBytes = contender.peakBytes();
    });
  } finally {
    await Promise.all(contenders.map((contender) => contender.quit()));
  }
  return results;
}

function newResult(entrant: Entrant, plan: Plan): Result {
  return {
    entrant,
    about: '',
    decode: new Map(plan.contexts.map((context) => [context, new Samples()])),
    prefill: new Samples(),
    cold: new Samples(),
    coldBytes: 0,
    peakBytes: 0,
    loadSeconds: 0,
  };
}

/** Each contender once per round, after one warm-up round; alternating forward and backward order. */
async function rounds(
  label: string,
  contenders: readonly Contender[],
  plan: Plan,
  bandwidth: ReadBandwidth,
  onRead: (bytesPerSecond: number) => void,
  measure: (contender: Contender, index: number, counts: boolean) => Promise<void>,
): Promise<void> {
  for (let round = -1; round < plan.rounds; round++) {
    const order = contenders.map((contender, i) => [contender, i] as const);
    if (round % 2 === 0) order.reverse();
    for (const [contender, i] of order) {
      await sleep(REST_MS);
      await measure(contender, i, round >= 0);
    }
    await sleep(REST_MS);
    onRead(await bandwidth.measure());
  }
  note(label);
}

function note(text: string): void {
  process.stderr.write(`${text}, load ${loadavg()[0]!.toFixed(2)}\n`);
}
