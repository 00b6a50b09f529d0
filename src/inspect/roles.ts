import type { CausalLM } from '../families/family.ts';
import { Dropout } from '../nn/linear.ts';
import { Activation } from '../nn/mlp.ts';
import { type Module, ModuleList, Sequential } from '../nn/module.ts';
import { type Edge, type Flow, recordFlow, type Station } from './flow.ts';

/** A module's role, independent of its name. */
export type Role =
  | 'model'
  | 'decoder'
  | 'token embedding'
  | 'position encoding'
  | 'layers'
  | 'layer'
  | 'pre-attention norm'
  | 'attention'
  | 'query'
  | 'key'
  | 'value'
  | 'query norm'
  | 'key norm'
  | 'attention output'
  | 'attention post-norm'
  | 'pre-mlp norm'
  | 'mlp'
  | 'gate'
  | 'up'
  | 'activation'
  | 'down'
  | 'mlp post-norm'
  | 'final norm'
  | 'head'
  | 'dropout'
  | 'other';

/** The roles of every module; several if one module does the work of several (GPT-2's fused q, k, v). */
export type Roles = ReadonlyMap<Module, readonly Role[]>;

/**
 * The role of each module in a model. Modules with weights are identified by the recorded graph: which projection
 * feeds the queries of an attention, which norm takes an attention's output. Containers are identified by their
 * contents.
 */
export function rolesOf(model: CausalLM): Roles {
  const flow = recordFlow(model);
  const roles = new Map<Module, readonly Role[]>();
  const projections = new Map<Module, readonly Role[]>();
  for (const station of flow.stations) {
    if (station.kind !== 'module') continue;
    const found = projectionRoles(station, flow);
    if (found.length > 0) projections.set(station.module, found);
  }
  for (const station of flow.stations) {
    if (station.kind !== 'module') continue;
    const { module } = station;
    roles.set(
      module,
      projections.get(module) ?? [embeddingRole(station, flow) ?? normRole(station, flow, projections)],
    );
  }
  const { weight } = model.head;
  const containers = containerRoles(model);
  for (const [, module] of model.walk()) {
    if (roles.has(module)) continue;
    const isHead = [...module.ownParameters()].some(([, parameter]) => parameter === weight);
    roles.set(module, [isHead ? 'head' : (containers.get(module) ?? structuralRole(module))]);
  }
  return roles;
}

const outOf = (flow: Flow, station: Station): readonly Edge[] => flow.after.get(station) ?? [];
const into = (flow: Flow, station: Station): readonly Edge[] => flow.before.get(station) ?? [];

const ATTENTION_PORTS = ['query', 'key', 'value'] as const;

/** Roles of a module that is a matrix product; none if it is not a projection of an attention or an MLP. */
function projectionRoles(station: Station & { kind: 'module' }, flow: Flow): Role[] {
  if (!station.nodes.some((node) => node.operator.name === 'matmul')) return [];
  const after = outOf(flow, station);
  // Queries and keys may first pass a per-head norm.
  const normed = after.flatMap(({ to }) => (isNorm(to) ? outOf(flow, to) : []));
  const ports = attentionPorts([...after, ...normed]);
  const fed = ATTENTION_PORTS.filter((_, port) => ports.has(port));
  if (fed.length > 0) return fed;
  const before = into(flow, station).map(({ from }) => from.kind);
  if (before.includes('attention')) return ['attention output'];
  if (before.includes('product') || before.includes('activation')) return ['down'];
  const activation = after.find(({ to }) => to.kind === 'activation');
  if (!activation) return after.some(({ to }) => to.kind === 'product') ? ['up'] : [];
  const gated = outOf(flow, activation.to).some(({ to }) => to.kind === 'product');
  return gated ? ['gate'] : ['up'];
}

const attentionPorts = (edges: readonly Edge[]): Set<number> =>
  new Set(edges.filter(({ to }) => to.kind === 'attention').map(({ port }) => port));

const isNorm = (station: Station): boolean =>
  station.kind === 'module' &&
  station.nodes.some(({ operator }) => ['rmsNorm', 'layerNorm'].includes(operator.name));

function embeddingRole({ nodes }: Station & { kind: 'module' }, flow: Flow): Role | undefined {
  const gather = nodes.find((node) => node.operator.name === 'gatherRows');
  if (!gather) return undefined;
  if (gather.inputs.includes(flow.ids)) return 'token embedding';
  return gather.inputs.includes(flow.positionIds) ? 'position encoding' : undefined;
}

/** A norm before a sublayer feeds its projections; one after it takes its output and leads to the residual sum. */
function normRole(
  station: Station & { kind: 'module' },
  flow: Flow,
  projections: ReadonlyMap<Module, readonly Role[]>,
): Role {
  if (!isNorm(station)) return 'other';
  const ports = attentionPorts(outOf(flow, station));
  if (ports.size > 0) return ports.has(0) ? 'query norm' : 'key norm';
  const rolesAt = (stations: readonly Station[]) =>
    stations.flatMap((other) => (other.kind === 'module' ? (projections.get(other.module) ?? []) : []));
  const after = outOf(flow, station).map(({ to }) => to);
  const fed = rolesAt(after);
  if (ATTENTION_PORTS.some((role) => fed.includes(role))) return 'pre-attention norm';
  if (fed.includes('gate') || fed.includes('up')) return 'pre-mlp norm';
  if (after.some(({ kind }) => kind === 'output')) return 'final norm';
  const taken = rolesAt(into(flow, station).map(({ from }) => from));
  if (taken.includes('attention output')) return 'attention post-norm';
  return taken.includes('down') ? 'mlp post-norm' : 'other';
}

/** The modules around the attentions: the list of layers, its layers, and its parent. */
function containerRoles(model: CausalLM): Map<Module, Role> {
  const roles = new Map<Module, Role>();
  const visit = (module: Module, parent?: Module): boolean => {
    const isAttention = module.describe()?.part === 'attention';
    // Every child is visited, not only the first one with an attention.
    const found = [...module.children()].map(([, child]) => visit(child, module));
    if (!isAttention && found.includes(true)) {
      const isList = module instanceof ModuleList && !(module instanceof Sequential);
      roles.set(module, isList ? 'layers' : parent instanceof ModuleList ? 'layer' : 'decoder');
    }
    return isAttention || found.includes(true);
  };
  visit(model);
  return roles.set(model, 'model');
}

function structuralRole(module: Module): Role {
  if (module instanceof Dropout) return 'dropout';
  if (module instanceof Activation) return 'activation';
  const part = module.describe()?.part;
  if (part === 'position') return 'position encoding';
  return part === 'attention' || part === 'mlp' ? part : 'other';
}
