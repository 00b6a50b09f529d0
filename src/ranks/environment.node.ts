/** The environment variables that a launcher sets for its processes. */
interface Launcher {
  readonly name: string;
  readonly size: readonly string[];
  readonly localSize: readonly string[];
}

/**
 * Open MPI's mpirun; Slurm's srun, which sets a task's rank only inside a step; MPICH's mpiexec (Hydra) and other
 * launchers with PMI.
 */
const LAUNCHERS: readonly Launcher[] = [
  { name: 'mpirun (Open MPI)', size: ['OMPI_COMM_WORLD_SIZE'], localSize: ['OMPI_COMM_WORLD_LOCAL_SIZE'] },
  { name: 'srun', size: ['SLURM_STEP_NUM_TASKS'], localSize: ['SLURM_TASKS_PER_NODE'] },
  { name: 'mpiexec (PMI)', size: ['PMI_SIZE'], localSize: ['MPI_LOCALNRANKS'] },
];

/** The job of several processes that this process belongs to. */
export interface Launched {
  /** The launcher, for messages. */
  readonly launcher: string;
  readonly size: number;
  /** On this machine. 1 if the launcher does not say. */
  readonly localSize: number;
}

/** @returns undefined for a process that was started alone, or as the only one of its job. */
export function launchedRanks(environment: NodeJS.ProcessEnv = process.env): Launched | undefined {
  const number = (names: readonly string[]) =>
    names.map((name) => Number.parseInt(environment[name] ?? '', 10)).find((value) => value > 0);
  for (const { name, size, localSize } of LAUNCHERS) {
    const ranks = number(size);
    if (ranks !== undefined && ranks > 1)
      return { launcher: name, size: ranks, localSize: Math.min(ranks, number(localSize) ?? 1) };
  }
  return undefined;
}
