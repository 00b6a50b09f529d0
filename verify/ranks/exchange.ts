/* One process of verify/ranks-hosts.ts: exchanges numbers as a step of each kind of sharding does, and counts the bytes that leave the host. The first argument is how many numbers. */
import { readFileSync } from 'node:fs';
import { joinRanks } from '../../src/ranks/mpi.node.ts';
import { evenBounds } from '../../src/training/parallel/slices.ts';

export interface Exchanged {
  /** Bytes by the kernel's counters, in theory, and seconds: each of a `none`, `states` and `all` step. */
  readonly none: Measured;
  readonly states: Measured;
  readonly all: Measured;
}
interface Measured {
  readonly kernel: number;
  readonly counted: number;
  readonly seconds: number;
}

const ROUNDS = 3;
const ranks = joinRanks()!;
const whole = new Float32Array(Number(process.argv[2]));
const bounds = evenBounds(whole.length, ranks.size);
const own = whole.subarray(bounds[ranks.rank], bounds[ranks.rank + 1]);
const parts = [{ whole, own, bounds }];
const left = () => Number(readFileSync('/sys/class/net/eth0/statistics/tx_bytes', 'utf8'));

async function measure(step: () => Promise<void>): Promise<Measured> {
  await step();
  await ranks.barrier();
  const [bytes, counted, started] = [left(), ranks.bytesSent, performance.now()];
  for (let round = 0; round < ROUNDS; round++) await step();
  const seconds = (performance.now() - started) / 1000 / ROUNDS;
  return { seconds, kernel: (left() - bytes) / ROUNDS, counted: (ranks.bytesSent - counted) / ROUNDS };
}

const scatter = () => ranks.reduceScatter(parts).wait();
const gather = () => ranks.allGather(parts).wait();
const none = await measure(() => ranks.sum([whole]));
const states = await measure(async () => {
  await scatter();
  await gather();
});
const all = await measure(async () => {
  await gather();
  await gather();
  await scatter();
});
const results = await ranks.gather(JSON.stringify({ none, states, all } satisfies Exchanged));
if (ranks.rank === 0) console.log(`[${results.join(',')}]`);
await ranks.leave();
