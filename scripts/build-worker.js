// Builds the program of a model's worker thread (src/generation/worker/worker.node.ts) for running TypeScript
// directly: tests, benchmarks, scripts. In the package, the compiler's own output is that program.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The folder of the sources, where tests look for it. */
export const SOURCES = join(root, 'src/generation/worker');

/**
 * @param folder location of the code that will start the thread: next to model-worker.node.ts, or next to a bundle of
 *   it
 */
export async function buildWorker(folder) {
  const { outputFiles } = await build({
    entryPoints: [join(SOURCES, 'worker.node.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    write: false,
    logLevel: 'error',
  });
  // Written under a temporary name and renamed: another process may be starting it.
  const draft = join(folder, `.worker.${process.pid}.generated.mjs`);
  writeFileSync(draft, outputFiles[0].text);
  renameSync(draft, join(folder, 'worker.node.js'));
}

/** Builds it next to a bundle, if that can start the thread. @param metafile esbuild's description of the bundle */
export async function buildWorkerFor(metafile, folder) {
  const starts = (path) => path.endsWith('src/generation/worker/model-worker.node.ts');
  if (Object.keys(metafile.inputs).some(starts)) await buildWorker(folder);
}
