/** An event of ONNX Runtime's profile. Times are in microseconds. */
export interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly args?: {
    readonly op_name?: string;
    readonly output_type_shape?: readonly Record<string, number[]>[];
  };
}

export interface ProfiledRun {
  readonly milliseconds: number;
  readonly nodes: readonly ProfileEvent[];
}

/** The runs of a session in order, each with its operators. */
export function runsOf(events: readonly ProfileEvent[]): ProfiledRun[] {
  const runs = events
    .filter(({ cat, name }) => cat === 'Session' && name === 'model_run')
    .sort((a, b) => a.ts - b.ts)
    .map(({ ts, dur }) => ({ ts, end: ts + dur, milliseconds: dur / 1000, nodes: [] as ProfileEvent[] }));
  const nodes = events
    .filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'))
    .sort((a, b) => a.ts - b.ts);
  let run = 0;
  for (const node of nodes) {
    while (run < runs.length && node.ts > runs[run]!.end) run++;
    runs[run]?.nodes.push(node);
  }
  return runs;
}

/**
 * Milliseconds per kind of operator in a run, largest first: the sum over its nodes of each node's typical time over
 * all runs. Products are distinguished by the width of their result.
 */
export function operatorTimes(
  runs: readonly (readonly ProfileEvent[])[],
  typical: (times: readonly number[]) => number,
): { name: string; count: number; milliseconds: number }[] {
  const durations = new Map<string, { kind: string; values: number[] }>();
  for (const nodes of runs) {
    for (const node of nodes) {
      const known = durations.get(node.name) ?? { kind: kindOf(node), values: [] };
      known.values.push(node.dur / 1000);
      durations.set(node.name, known);
    }
  }
  const kinds = new Map<string, { name: string; count: number; milliseconds: number }>();
  for (const { kind, values } of durations.values()) {
    const sum = kinds.get(kind) ?? { name: kind, count: 0, milliseconds: 0 };
    sum.count++;
    sum.milliseconds += typical(values);
    kinds.set(kind, sum);
  }
  return [...kinds.values()].sort((a, b) => b.milliseconds - a.milliseconds);
}

/** Milliseconds of a run without any operator: the engine's own overhead between operators. */
export function betweenOperators({ milliseconds, nodes }: ProfiledRun): number {
  return milliseconds - nodes.reduce((sum, { dur }) => sum + dur / 1000, 0);
}

function kindOf({ args }: ProfileEvent): string {
  const operator = args?.op_name ?? 'unknown';
  if (!/MatMul|Gemm/.test(operator)) return operator;
  const shape = Object.values(args?.output_type_shape?.[0] ?? {})[0];
  return `${operator} → ${shape?.at(-1) ?? '?'}`;
}
