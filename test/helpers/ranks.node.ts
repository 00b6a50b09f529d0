import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { buildProgram, type Running, startCommand } from './cli.node.ts';

/** An MPI launcher, and the options with which it starts processes here. */
interface Launcher {
  readonly name: 'Open MPI' | 'MPICH';
  readonly command: string;
  readonly options: readonly string[];
  /** Programs of single ranks instead of this repository's command line. */
  readonly programs?: readonly (string | undefined)[];
  readonly env?: NodeJS.ProcessEnv;
  /** What single ranks are started by. */
  readonly by?: readonly (readonly string[])[];
}

/** Where both are installed, `mpirun` is one of them. */
const COMMANDS = ['mpirun', 'mpirun.openmpi', 'mpiexec.mpich', 'mpiexec.hydra'];

const OPTIONS = {
  // All on this machine: no ssh is needed, without which mpirun refuses to start, nor permission to read other processes.
  'Open MPI': [
    ...['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none'],
    ...['--mca', 'plm_rsh_agent', '/bin/false', '--mca', 'btl', 'self,vader,tcp'],
    ...['--mca', 'btl_vader_single_copy_mechanism', 'none'],
  ],
  MPICH: ['-launcher', 'fork'],
};

/** The launchers that can start processes here. Where there is none, tests of several ranks are skipped, and the reason is printed. */
export const LAUNCHERS: readonly Launcher[] = findLaunchers();
export const HAS_MPI = LAUNCHERS.length > 0;

function findLaunchers(): Launcher[] {
  const found = new Map<string, Launcher>();
  const problems: string[] = [];
  for (const command of COMMANDS) {
    const { error, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
    if (error) {
      problems.push(error.message);
      continue;
    }
    const name = /HYDRA/i.test(stdout) ? 'MPICH' : 'Open MPI';
    if (found.has(name)) continue;
    const options = OPTIONS[name];
    const { status, stderr } = spawnSync(command, [...options, '-n', '2', 'true'], { encoding: 'utf8' });
    if (status === 0) found.set(name, { name, command, options });
    else problems.push(`${command}: ${stderr.trim().slice(0, 300)}`);
  }
  if (found.size === 0) console.warn(`tests of several ranks are skipped: ${problems.join('; ')}`);
  return [...found.values()].sort((a, b) => (a.name < b.name ? 1 : -1));
}

/**
 * Starts the command line in several processes.
 *
 * @param commands the arguments for each of them, or of all.
 */
export async function mpirun(ranks: number, ...commands: readonly (readonly string[])[]): Promise<Running> {
  return mpirunBy(LAUNCHERS[0]!, ranks, ...commands);
}

/** As {@link mpirun}, by one of the launchers. */
export async function mpirunBy(
  { command, options, programs = [], env = {}, by = [] }: Launcher,
  ranks: number,
  ...commands: readonly (readonly string[])[]
): Promise<Running> {
  const program = await buildProgram('bin/ropewalk.js');
  const node = (count: number, args: readonly string[], rank = 0) => [
    ...['-n', String(count), ...(by[rank] ?? []), process.execPath, programs[rank] ?? program],
    ...args,
  ];
  const all =
    commands.length === 1
      ? node(ranks, commands[0]!)
      : commands.flatMap((args, i) => (i === 0 ? node(1, args) : [':', ...node(1, args, i)]));
  return startCommand(command, [...options, ...all], { env });
}

/** The processes that a launcher started, in the order of their ranks. */
export function ranksOf({ process }: Running): number[] {
  const below = (pid: number): number[] => {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return children === ''
      ? []
      : children
          .split(' ')
          .map(Number)
          .flatMap((child) => [child, ...below(child)]);
  };
  const rankOf = (pid: number) =>
    /^(?:OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)$/m.exec(
      readFileSync(`/proc/${pid}/environ`, 'utf8').replaceAll('\0', '\n'),
    );
  return below(process.pid!)
    .flatMap((pid) => {
      const rank = rankOf(pid);
      return rank ? [{ pid, rank: Number(rank[1]) }] : [];
    })
    .sort((a, b) => a.rank - b.rank)
    .map(({ pid }) => pid);
}

/** Whether a process is there and not only waits to be collected. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
