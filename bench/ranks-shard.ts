/**
 * The kinds of sharding on two ranks of one thread, interleaved: SmolLM2-135M's shape at 4 × 256, random weights, light
 * memory. With `all`, the engine runs beside the communication, or the library of MPI is called only between its runs.
 *
 *     node scripts/run-ts.js bench/ranks-shard.ts [--rounds 3] [--layers 30] [--tcp]
 *
 * Needs Open MPI. Each round starts all of them afresh; the best step of all rounds counts.
 */
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { rankProgram } from '../verify/ranks/measure.ts';
import type { RankSettings } from '../verify/ranks/rank.ts';
import { smol } from './inference/shapes.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    layers: { type: 'string', default: '30' },
    tcp: { type: 'boolean', default: false },
  },
});
const common: RankSettings = {
  ...{ family: 'llama', config: { ...smol, num_hidden_layers: Number(values.layers) }, batch: 4, seq: 256 },
  ...{ steps: 4, threads: 1, memory: 'light', shard: 'none', wire: 'float32', optimizer: 'adamw', lr: 1e-3 },
};
const contenders: readonly (readonly [string, number, Partial<RankSettings>])[] = [
  ['one process, 2 threads', 1, { threads: 2 }],
  ['none', 2, {}],
  ['none, gradients in bfloat16', 2, { wire: 'bfloat16' }],
  ['states', 2, { shard: 'states' }],
  ['all, engine in another thread', 2, { shard: 'all' }],
  ['all, MPI only between runs', 2, { shard: 'all', inBackground: false }],
];
const measure = await rankProgram(values.tcp ? ['--mca', 'btl', 'self,tcp'] : []);
const best = new Map<string, { wall: number; processor: number }>();
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, ranks, more] of contenders) {
    const results = await measure(ranks, { ...common, ...more });
    const wall = Math.min(...results[0]!.seconds.slice(1));
    const processor =
      results.reduce((sum, { processorSeconds }) => sum + processorSeconds, 0) / (common.steps - 1);
    const before = best.get(name);
    best.set(name, {
      wall: Math.min(wall, before?.wall ?? wall),
      processor: Math.min(processor, before?.processor ?? processor),
    });
  }
}
console.log(`${cpus()[0]!.model}, ${cpus().length} processors, load ${loadavg()[0]!.toFixed(1)}`);
for (const [name, { wall, processor }] of best)
  console.log(
    `${name}: ${wall.toFixed(2)} s a step, ${processor.toFixed(2)} s of the processor in all processes`,
  );
