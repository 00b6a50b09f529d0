import type { LlamaConfig } from '../../src/families/llama.ts';
import type { Plan, Result } from './match.ts';
import type { Samples } from './samples.ts';

/** What a table needs besides the measurements. */
export interface MatchFacts {
  readonly title: string;
  readonly config: LlamaConfig;
  readonly productWeights: number;
  readonly plan: Omit<Plan, 'decode'>;
  /** Best read bandwidth, in bytes per second. */
  readonly bandwidth: number;
}

/** Bytes read per token: every weight of a product once, and the keys and values of the context. */
function bytesPerToken(result: Result, { config, productWeights }: MatchFacts, context: number): number {
  const { num_hidden_layers: layers, num_key_value_heads: heads, head_dim: size } = config;
  const cache = 2 * layers * heads * size * context * result.entrant.cacheNumberBytes;
  return productWeights * result.entrant.bytesPerWeight + cache;
}

/** A match as lines of text: one row per contender, then Ropewalk's speed relative to each rival. */
export function formatMatch(results: readonly Result[], facts: MatchFacts): string {
  const { plan, bandwidth } = facts;
  const rate = (count: number, seconds: number) => (count / seconds).toFixed(count / seconds < 100 ? 1 : 0);
  const both = (count: number, samples: Samples) =>
    samples.values.length === 0 ? '-' : `${rate(count, samples.best)} (${rate(count, samples.median)})`;
  const gigabytes = (bytes: number) => (bytes === 0 ? '-' : (bytes / 1e9).toFixed(2));
  const heads = [
    'tokens/s, best (median)',
    'bytes/weight',
    ...plan.contexts.map((context) => `decode @${context}`),
    ...plan.contexts.map((context) => `GB/s @${context}`),
    `prefill ${plan.prefill}`,
    'load, s',
    'first token, s',
    'peak GB cold',
    'peak GB',
  ];
  const rows = results.map((result) => [
    result.entrant.name,
    result.entrant.bytesPerWeight.toFixed(3),
    ...plan.contexts.map((context) => both(1, result.decode.get(context)!)),
    ...plan.contexts.map((context) => {
      const speed = bytesPerToken(result, facts, context) / result.decode.get(context)!.best;
      return `${(speed / 1e9).toFixed(1)} (${((100 * speed) / bandwidth).toFixed(0)} %)`;
    }),
    both(plan.prefill, result.prefill),
    result.loadSeconds.toFixed(2),
    result.cold.values.length === 0
      ? '-'
      : `${result.cold.best.toFixed(2)} (${result.cold.median.toFixed(2)})`,
    gigabytes(result.coldBytes),
    gigabytes(result.peakBytes),
  ]);
  return [
    `\n${facts.title}`,
    ...table([heads, ...rows]),
    ...ratios(results, plan),
    ...agreements(results),
  ].join('\n');
}

/** Ratios of times: above 1, the first is faster. */
function ratios(results: readonly Result[], plan: MatchFacts['plan']): string[] {
  const lines: string[] = [];
  const ours = results.filter(isOurs);
  for (const rival of results.filter((result) => !isOurs(result))) {
    for (const own of ours) {
      const ratio = (pick: (result: Result) => Samples) => {
        const [a, b] = [pick(own), pick(rival)];
        if (a.values.length === 0 || b.values.length === 0) return '-';
        return `${(b.best / a.best).toFixed(2)} (${(b.median / a.median).toFixed(2)})`;
      };
      const parts = plan.contexts.map(
        (context) => `decode @${context} ${ratio((result) => result.decode.get(context)!)}`,
      );
      parts.push(`prefill ${ratio(({ prefill }) => prefill)}`, `first token ${ratio(({ cold }) => cold)}`);
      lines.push(`${own.entrant.name} ÷ ${rival.entrant.name}: ${parts.join(', ')}`);
    }
  }
  return lines;
}

/**
 * Logits may differ only by the rounding of quantization and float16 caches; otherwise the two do not run the same
 * model.
 */
function agreements([first, ...others]: readonly Result[]): string[] {
  return others.flatMap(({ entrant, agreement }) => {
    if (!agreement) return [];
    const { difference, sameTokens, tokens, gap } = agreement;
    const line = `${entrant.name} against ${first!.entrant.name}: logits differ by ${(100 * difference).toFixed(2)} % of their spread; ${sameTokens} of ${tokens} greedy tokens are the same`;
    return [
      gap > 0 ? `${line} (the first choices are ${(100 * gap).toFixed(2)} % of the spread apart)` : line,
    ];
  });
}

export function isOurs({ entrant }: Result): boolean {
  return entrant.name.startsWith('Ropewalk');
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '),
  );
}
