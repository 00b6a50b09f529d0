// Times the kernels with WebAssembly memory and in plain JavaScript. Run `npm run build` first, then `node
// bench/kernels.js`.
import { loadavg } from 'node:os';
import { HostMemory } from '../dist/runtime/host-memory.js';
import * as kernels from '../dist/runtime/kernels.js';

const n = Number(process.argv[2] ?? 16 * 2 ** 20);
const rounds = Number(process.argv[3] ?? 15);
const step = {
  lr: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0.01,
  biasCorrection1: 0.1,
  biasCorrection2: 0.001,
  gradScale: 0.5,
};

const places = {
  wasm: new HostMemory().allocGroup([n, n, n, n]),
  js: Array.from({ length: 4 }, () => new Float32Array(n)),
};
for (const arrays of Object.values(places)) {
  for (const array of arrays) for (let i = 0; i < n; i++) array[i] = ((i * 2654435761) % 1000) / 1e4;
}

const cases = {
  adamw: ([p, g, m, v]) => kernels.adamw(p, g, m, v, step),
  sgd: ([p, g]) => kernels.sgd(p, g, 1e-3),
  sumOfSquares: ([p]) => kernels.sumOfSquares(p),
  addInto: ([p, g]) => kernels.addInto(p, g),
  scale: ([p]) => kernels.scale(p, 1),
  fill: ([, g]) => kernels.fill(g, 0.01),
};
/** Bytes read and written per element. */
const traffic = { adamw: 28, sgd: 12, sumOfSquares: 4, addInto: 12, scale: 8, fill: 4 };

const times = new Map();
// Interleaved, so that other load affects both variants alike.
for (let round = 0; round < rounds; round++) {
  for (const [name, run] of Object.entries(cases)) {
    for (const [place, arrays] of Object.entries(places)) {
      const start = performance.now();
      run(arrays);
      const key = `${name} ${place}`;
      times.set(key, [...(times.get(key) ?? []), performance.now() - start]);
    }
  }
}

console.log(`${n} float32, ${rounds} rounds, load ${loadavg()[0].toFixed(2)}, Node ${process.version}`);
for (const [key, list] of times) {
  const sorted = list.sort((a, b) => a - b);
  const best = sorted[0];
  const median = sorted[sorted.length >> 1];
  const rate = (n * traffic[key.split(' ')[0]]) / best / 1e6;
  console.log(
    `${key.padEnd(18)} best ${best.toFixed(1).padStart(6)} ms  median ${median.toFixed(1).padStart(6)} ms  ${rate.toFixed(1).padStart(5)} GB/s`,
  );
}
