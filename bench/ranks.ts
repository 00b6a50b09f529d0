/**
 * Training on several ranks of one thread against one process with as many threads, interleaved: SmolLM2-135M's shape
 * at 4 × 256, random weights, `fast`.
 *
 *     npm run bench:ranks -- [--ranks 2] [--rounds 5] [--minutes 5] [--batch 4] [--seq 256]
 *
 * Needs Open MPI. Each round starts all contenders afresh, one after another, and takes the median of each one's steps except
 * the first. Results are the medians of the rounds; no round begins after the given minutes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { llama } from '../src/families/llama.ts';
import { stepBytes } from '../src/training/parallel/shard.ts';
import { smol } from './inference/shapes.ts';

const { values } = parseArgs({
  options: {
    ranks: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    minutes: { type: 'string', default: '5' },
    batch: { type: 'string', default: '4' },
    seq: { type: 'string', default: '256' },
  },
});
const ranks = Number(values.ranks);
const program = fileURLToPath(new URL('ranks/train.mjs', import.meta.url));
const MPIRUN = ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none', '-n', String(ranks)];

interface Result {
  readonly seconds: number;
  readonly loss: number;
  readonly bytesSent: number;
  readonly rss: number;
}

/** Runs one of the two. @param batch rows per step, over all ranks. */
async function measure(isParallel: boolean, threads: number, batch: number): Promise<Result> {
  const settings = JSON.stringify({ config: smol, threads, batch, seq: Number(values.seq) });
  const child = isParallel
    ? spawn('mpirun', [...MPIRUN, process.execPath, program, settings], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
    : spawn(process.execPath, [program, settings], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  await once(child, 'close');
  return JSON.parse(text.trim().split('\n').at(-1)!) as Result;
}

const batch = Number(values.batch);
const contenders = [
  { name: `one process, ${ranks} threads`, run: () => measure(false, ranks, batch) },
  { name: `${ranks} ranks, 1 thread each`, run: () => measure(true, 1, batch) },
  { name: `one process, 1 thread, ${batch / ranks} rows`, run: () => measure(false, 1, batch / ranks) },
];
const median = (numbers: readonly number[]) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
};
console.log(`${cpus()[0]!.model}, ${cpus().length} processors, load ${loadavg()[0]!.toFixed(1)}`);
const began = performance.now();
const rounds: Result[][] = [];
while (rounds.length < Number(values.rounds) && performance.now() - began < 60_000 * Number(values.minutes)) {
  const round: Result[] = [];
  for (const { name, run } of contenders) {
    round.push(await run());
    console.log(`round ${rounds.length + 1}, ${name}: ${round.at(-1)!.seconds.toFixed(3)} s a step`);
  }
  rounds.push(round);
}
for (const [i, { name }] of contenders.entries()) {
  const all = rounds.map((round) => round[i]!);
  const { loss, bytesSent, rss } = all[0]!;
  console.log(
    `${name}: ${median(all.map(({ seconds }) => seconds)).toFixed(3)} s a step, loss ${loss.toFixed(6)}, ${(bytesSent / 1e6).toFixed(1)} MB sent a step, ${(rss / 1e9).toFixed(2)} GB`,
  );
}
const weights = llama.build(smol).parameterCount();
const theory = stepBytes('none', ranks, { weights, gradients: weights });
console.log(
  `bytes sent against theory, 2 (N - 1) / N times the gradients: ${((100 * rounds[0]![1]!.bytesSent) / theory).toFixed(2)} %`,
);
const ratio = (what: string, of: (round: readonly Result[]) => number) => {
  const all = rounds.map(of);
  console.log(
    `${what}: ${median(all).toFixed(3)}, the median of ${all.length} rounds (${all.map((each) => each.toFixed(3)).join(', ')})`,
  );
};
ratio(
  `speed of ${ranks} ranks over that of ${ranks} threads`,
  ([one, several]) => one!.seconds / several!.seconds,
);
ratio('weak scaling, from one rank on one core', ([, several, weak]) => weak!.seconds / several!.seconds);
