import type { CausalLM } from '../families/family.ts';
import { input } from '../graph/operators/index.ts';
import type { Node, Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';
import { FullSequence } from '../nn/attention.ts';
import { activationFunctions } from '../nn/mlp.ts';
import type { Module } from '../nn/module.ts';

/**
 * A station of the data flow through the model: a module with weights, or one of the few operations without weights
 * that reveal the roles of the modules around them.
 */
export type Station =
  | { readonly kind: 'module'; readonly module: Module; readonly nodes: readonly Node[] }
  | {
      readonly kind: 'attention' | 'activation' | 'product' | 'sum' | 'output';
      readonly node: Node;
    };

/** A connection between two stations with only reshaping and constants in between. */
export interface Edge {
  readonly from: Station;
  readonly to: Station;
  /** Which input of an attention: 0 queries, 1 keys, 2 values. */
  readonly port: number;
}

export interface Flow {
  readonly ids: Tensor;
  readonly positionIds: Tensor;
  readonly output: Tensor;
  readonly stations: ReadonlySet<Station>;
  /** Edges by the station that they leave, and by the one that they reach. */
  readonly after: ReadonlyMap<Station, readonly Edge[]>;
  readonly before: ReadonlyMap<Station, readonly Edge[]>;
}

const ACTIVATIONS: ReadonlySet<string> = new Set(Object.keys(activationFunctions));

/**
 * Records the model's graph over two tokens and reduces it to stations and edges: a module's role follows from where
 * its output goes, not from its name.
 */
export function recordFlow(model: CausalLM): Flow {
  const ids = input('input_ids', 'int32', [2]);
  const context = new FullSequence(ids, 1, 2);
  const output = model.hiddenStates(context);
  return new FlowRecorder(model, context.positionIds).record(ids, output);
}

class FlowRecorder {
  readonly #owners = new Map<Tensor, Module>();
  /** Values computed only from constants. */
  readonly #constants = new Set<Tensor>();
  readonly #modules = new Map<Module, { kind: 'module'; module: Module; nodes: Node[] }>();
  readonly #stations = new Set<Station>();
  readonly #after = new Map<Station, Edge[]>();
  readonly #before = new Map<Station, Edge[]>();
  /** The stations that a value comes from. */
  readonly #sources = new Map<Tensor, ReadonlySet<Station>>();

  readonly #positionIds: Tensor;

  constructor(model: CausalLM, positionIds: Tensor) {
    this.#positionIds = positionIds;
    for (const [, module] of model.walk()) {
      for (const [, parameter] of module.ownParameters()) {
        // A tied weight is first seen as the embedding; the head is not part of this graph.
        if (!this.#owners.has(parameter.tensor)) this.#owners.set(parameter.tensor, module);
      }
    }
  }

  record(ids: Tensor, output: Tensor): Flow {
    for (const node of topologicalOrder([output])) this.#visit(node);
    this.#arrive({ kind: 'output', node: output.node }, [output]);
    return {
      ids,
      positionIds: this.#positionIds,
      output,
      stations: this.#stations,
      after: this.#after,
      before: this.#before,
    };
  }

  #visit(node: Node): void {
    const data = node.inputs.filter((x) => !this.#owners.has(x) && !this.#constants.has(x));
    const owner = node.inputs.map((x) => this.#owners.get(x)).find((module) => module !== undefined);
    if (data.length === 0 && owner) {
      // Computed only from a weight, such as 1 + weight: still that module's weight.
      for (const x of node.outputs) this.#owners.set(x, owner);
    } else if (node.operator.name === 'constant' && node !== this.#positionIds.node) {
      for (const x of node.outputs) this.#constants.add(x);
    } else if (owner) {
      this.#arrive(this.#moduleStation(owner, node), data, node);
    } else {
      const kind = stationKind(node, data.length);
      if (kind) this.#arrive({ kind, node }, data, node);
      else {
        const from = new Set(data.flatMap((x) => [...(this.#sources.get(x) ?? [])]));
        for (const x of node.outputs) this.#sources.set(x, from);
      }
    }
  }

  /** A linear layer with a bias is two operations of one module. */
  #moduleStation(module: Module, node: Node): Station {
    const known = this.#modules.get(module);
    if (known) {
      known.nodes.push(node);
      return known;
    }
    const station = { kind: 'module' as const, module, nodes: [node] };
    this.#modules.set(module, station);
    return station;
  }

  #arrive(station: Station, data: readonly Tensor[], node?: Node): void {
    this.#stations.add(station);
    for (const [port, x] of data.entries()) {
      for (const from of this.#sources.get(x) ?? []) {
        if (from !== station) this.#connect({ from, to: station, port });
      }
    }
    for (const x of node?.outputs ?? []) this.#sources.set(x, new Set([station]));
  }

  #connect(edge: Edge): void {
    listOf(this.#after, edge.from).push(edge);
    listOf(this.#before, edge.to).push(edge);
  }
}

/** The list of a station, created on first use. */
function listOf(lists: Map<Station, Edge[]>, station: Station): Edge[] {
  const list = lists.get(station) ?? [];
  lists.set(station, list);
  return list;
}

function stationKind(
  node: Node,
  dataInputs: number,
): 'attention' | 'activation' | 'product' | 'sum' | undefined {
  const { name } = node.operator;
  if (name === 'attention') return 'attention';
  if (ACTIVATIONS.has(name)) return 'activation';
  if (name === 'mul' && dataInputs === 2) return 'product';
  return name === 'add' && dataInputs === 2 ? 'sum' : undefined;
}
