// Runs a TypeScript program of this repository on any supported Node: node scripts/run-ts.js bench/training.ts [arguments]
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { build } from 'esbuild';
import { buildWorkerFor } from './build-worker.js';

const [source, ...args] = process.argv.slice(2);
if (!source) {
  console.error('usage: node scripts/run-ts.js FILE.ts [arguments]');
  process.exit(2);
}
// Next to the source, so that import.meta.url is correct.
const out = join(dirname(source), `.${basename(source, '.ts')}.generated.mjs`);
mkdirSync(dirname(out), { recursive: true });
const { metafile } = await build({
  entryPoints: [source],
  outfile: out,
  bundle: true,
  platform: 'node',
  format: 'esm',
  packages: 'external',
  logLevel: 'error',
  sourcemap: 'inline',
  metafile: true,
});
await buildWorkerFor(metafile, dirname(out));
const result = spawnSync(process.execPath, [relative(process.cwd(), out), ...args], {
  stdio: 'inherit',
  cwd: process.cwd(),
});
process.exit(result.status ?? 1);
