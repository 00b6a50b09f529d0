import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** A scratch folder, and the child program of `checkpoint-child.node.ts` compiled into it. For tests. */
export interface Workshop {
  readonly folder: string;
  readonly program: string;
  /** Runs one command of the child program to its end. */
  run(args: readonly (string | number)[], options?: { uid?: number }): SpawnSyncReturns<string>;
  /** Mounts a small disk of its own in memory; undefined where this process may not mount. */
  mount(size: string): { path: string; readOnly(): void } | undefined;
  remove(): void;
}

export async function openWorkshop(): Promise<Workshop> {
  const folder = mkdtempSync(join(tmpdir(), 'ropewalk-checkpoint-'));
  chmodSync(folder, 0o755); // the child may run as another user
  const program = join(folder, 'child.mjs');
  const mounts: string[] = [];
  await build({
    entryPoints: [fileURLToPath(new URL('checkpoint-child.node.ts', import.meta.url))],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
  });
  return {
    folder,
    program,
    run: (args, options = {}) =>
      spawnSync(process.execPath, [program, ...args.map(String)], { encoding: 'utf8', ...options }),
    mount(size) {
      const path = join(folder, `disk${mounts.length}`);
      mkdirSync(path);
      const options = ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path];
      if (spawnSync('mount', options).status !== 0) return undefined;
      mounts.push(path);
      return { path, readOnly: () => spawnSync('mount', ['-o', 'remount,ro', path]) };
    },
    remove() {
      for (const path of mounts) spawnSync('umount', [path]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
