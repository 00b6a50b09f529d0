import { Samples } from '../inference/samples.ts';

/** What one contender did in a match. */
export class Result {
  readonly seconds = new Samples();
  readonly optimizer = new Samples();
  /** Processor time of a step, over all cores: what another process's work disturbs least. */
  readonly processor = new Samples();
  /** Of its first steps, warm-up included. */
  readonly losses: number[] = [];
  flops: number | undefined;

  constructor(
    readonly name: string,
    readonly about: string,
  ) {}
}

export interface MatchFacts {
  readonly tokens: number;
  readonly flops: number;
  /** Share of the machine's processors that other processes had. */
  readonly others: number;
  readonly load: readonly number[];
}

/** Other processes that had more than this share of the processors make a measurement one under load. */
const QUIET = 0.05;

/** One match as a table; the first result is what the others are compared with. */
export function formatMatch(results: readonly Result[], { tokens, flops, others, load }: MatchFacts): string {
  const [first] = results as [Result];
  const rows = results.map(({ name, seconds, optimizer, processor }) => {
    const cells = [
      name.padEnd(44),
      seconds.best.toFixed(3).padStart(8),
      seconds.median.toFixed(3).padStart(8),
      (1 / seconds.median).toFixed(3).padStart(9),
      (tokens / seconds.median).toFixed(0).padStart(9),
      (flops / seconds.best / 1e9).toFixed(1).padStart(8),
      (seconds.best / first.seconds.best).toFixed(3).padStart(9),
      (seconds.median / first.seconds.median).toFixed(3).padStart(9),
      processor.median.toFixed(2).padStart(8),
      optimizer.values.length > 0 ? optimizer.median.toFixed(3).padStart(8) : ''.padStart(8),
    ];
    return cells.join(' ');
  });
  const head = `${'seconds a step'.padEnd(44)}     best   median   steps/s  tokens/s  GFLOP/s  ×, best  ×, median    CPU s    AdamW`;
  const mark = others > QUIET ? 'UNDER LOAD' : 'quiet';
  const notes = `(${mark}: other processes had ${(100 * others).toFixed(0)} % of the processors; load average ${load.map((x) => x.toFixed(2)).join(' ')})`;
  return [head, ...rows, `× is ${first.name}'s speed as a multiple of the row's. ${notes}`].join('\n');
}

/** How far the losses of the first steps are from the first contender's. */
export function formatAgreement(results: readonly Result[]): string {
  const [first, ...others] = results.filter(({ losses }) => losses.length > 0);
  if (!first) return '';
  const lines = others.map(({ name, losses }) => {
    const [own, theirs] = [first.losses[0]!, losses[0]!];
    return `  ${name}: first loss ${theirs.toFixed(5)}, ${Math.abs(own - theirs).toExponential(1)} from ${first.name}'s ${own.toFixed(5)}`;
  });
  return lines.join('\n');
}
