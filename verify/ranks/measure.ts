import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { RankResult, RankSettings } from './rank.ts';

const MPIRUN = ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none'];

/** Builds the program of a rank. @returns a function that runs it on some ranks of this machine. */
export async function rankProgram(mpiOptions: readonly string[] = []) {
  const source = join(process.cwd(), 'verify/ranks/rank.ts');
  const program = source.replace(/rank\.ts$/, '.rank.generated.mjs');
  await build({
    ...{ entryPoints: [source], outfile: program, bundle: true, platform: 'node', format: 'esm' },
    ...{ packages: 'external', logLevel: 'error' },
  });
  return async (ranks: number, settings: RankSettings): Promise<RankResult[]> => {
    const own = [process.execPath, program, JSON.stringify(settings)];
    const [command, ...args] =
      ranks === 1 ? own : ['mpirun', ...MPIRUN, ...mpiOptions, '-n', String(ranks), ...own];
    const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    await once(child, 'close');
    return JSON.parse(text.trim().split('\n').at(-1)!) as RankResult[];
  };
}
