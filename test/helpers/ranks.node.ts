import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { buildProgram, type Running, startCommand } from './cli.node.ts';

/** Whether this machine has Open MPI's mpirun and library; where not, tests of ranks are skipped. */
export const HAS_MPI =
  spawnSync('mpirun', ['--version'], { encoding: 'utf8' }).stdout?.includes('Open MPI') ?? false;

/** All on this machine, which needs no ssh: without a program of that kind, mpirun refuses to start. */
const MPIRUN = [
  '--mca',
  'plm_rsh_agent',
  '/bin/false',
  '--allow-run-as-root',
  '--oversubscribe',
  '--bind-to',
  'none',
  '--mca',
  'btl',
  'self,vader,tcp',
];

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
