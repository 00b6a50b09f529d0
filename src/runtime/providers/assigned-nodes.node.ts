import type { AssignedNodes } from '../engine.ts';
import type { Library, Pointer } from '../library.node.ts';

/** How many nodes of a session each provider runs; the session's options must have asked to record it. */
export function assignedNodes(library: Library, session: Pointer): AssignedNodes {
  const { api, koffi } = library;
  const list = (call: (out: unknown[], count: number[]) => unknown): Pointer[] => {
    const [out, count]: [unknown[], number[]] = [[null], [0]];
    library.check(call(out, count));
    return count[0] === 0 ? [] : (koffi.decode(out[0], koffi.array('void *', Number(count[0]))) as Pointer[]);
  };
  const text = (call: (out: unknown[]) => unknown) => String(library.out(call));
  const counts: Record<string, Record<string, number>> = {};
  for (const graph of list((out, count) => api.assignedGraphs(session, out, count))) {
    const provider = text((out) => api.assignedProvider(graph, out));
    counts[provider] ??= {};
    const byOperator = counts[provider];
    for (const node of list((out, count) => api.assignedNodes(graph, out, count))) {
      const operator = text((out) => api.assignedOperator(node, out));
      byOperator[operator] = (byOperator[operator] ?? 0) + 1;
    }
  }
  return counts;
}
