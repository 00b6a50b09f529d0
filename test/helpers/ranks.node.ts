import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { buildProgram, type Running, startCommand } from './cli.node.ts';

/** All on this machine: no ssh is needed, without which mpirun refuses to start, nor permission to read other processes. */
const MPIRUN = [
  ...['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none'],
  ...['--mca', 'plm_rsh_agent', '/bin/false', '--mca', 'btl', 'self,vader,tcp'],
  ...['--mca', 'btl_vader_single_copy_mechanism', 'none'],
];

/** Whether Open MPI's mpirun can start processes here. Where not, tests of several ranks are skipped, and the reason is printed. */
export const HAS_MPI = canStart();

function canStart(): boolean {
  const { status, error, stderr } = spawnSync('mpirun', [...MPIRUN, '-n', '2', 'true'], { encoding: 'utf8' });
  if (status === 0) return true;
  console.warn(`tests of several ranks are skipped: mpirun ${error?.message ?? stderr.trim().slice(0, 300)}`);
  return false;
}

/**
 * Starts the command line in several processes.
 *
 * @param commands the arguments for each of them, or of all.
 */
export async function mpirun(ranks: number, ...commands: readonly (readonly string[])[]): Promise<Running> {
  const program = await buildProgram('bin/ropewalk.js');
  const node = (count: number, args: readonly string[]) => [
    '-n',
    String(count),
    process.execPath,
    program,
    ...args,
  ];
  const all =
    commands.length === 1
      ? node(ranks, commands[0]!)
      : commands.flatMap((args, i) => (i === 0 ? node(1, args) : [':', ...node(1, args)]));
  return startCommand('mpirun', [...MPIRUN, ...all]);
}

/** The processes that mpirun started, in the order of their ranks. */
export function ranksOf({ process }: Running): number[] {
  const text = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8');
  return text.trim().split(' ').map(Number);
}

/** Whether a process is there and not only waits to be collected. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
