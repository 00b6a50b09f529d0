import { Samples } from '../inference/samples.ts';

/** One contender's results in a match. */
export class Result {
  readonly seconds = new Samples();
  readonly optimizer = new Samples();
  /** Processor time per step, over all cores: least affected by other processes. */
  readonly processor = new Samples();
  /** Losses of its first steps, including the warm-up. */
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
  /** Share of the machine's processors that other processes used. */
  readonly others: number;
  readonly load: readonly number[];
}

/** If other processes used more than this share of the processors, a measurement counts as under load. */
const QUIET = 0.05;

/** A match as a table; the others are compared with the first result. */
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
  const head = `${'seconds per step'.padEnd(44)}     best   median   steps/s  tokens/s  GFLOP/s  ×, best  ×, median    CPU s    AdamW`;
  const mark = others > QUIET ? 'UNDER LOAD' : 'quiet';
  const notes = `(${mark}: other processes had ${(100 * others).toFixed(0)} % of the processors; load average ${load.map((x) => x.toFixed(2)).join(' ')})`;
  return [head, ...rows, `× is ${first.name}'s speed as a multiple of the row's. ${notes}`].join('\n');
}

/** The difference of the first steps' losses from the first contender's. */
export function formatAgreement(results: readonly Result[]): string {
  const [first, ...others] = results.filter(({ losses }) => losses.length > 0);
  if (!first) return '';
  const lines = others.map(({ name, losses }) => {
    const [own, theirs] = [first.losses[0]!, losses[0]!];
    return `  ${name}: first loss ${theirs.toFixed(5)}, ${Math.abs(own - theirs).toExponential(1)} from ${first.name}'s ${own.toFixed(5)}`;
  });
  return lines.join('\n');
}
