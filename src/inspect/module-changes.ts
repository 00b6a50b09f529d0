import type { CausalLM } from '../families/family.ts';
import { Conv1D, Dropout, Linear } from '../nn/linear.ts';
import { Activation } from '../nn/mlp.ts';
import { type Module, ModuleList } from '../nn/module.ts';
import { distinct, partsOf } from './model-parts.ts';
import type { TreeNode } from './tree.ts';

/** A key that is equal for two modules of the same kind, whatever their classes are named. */
export function kindOf(module: Module): string {
  const part = module.describe();
  switch (part?.part) {
    case 'norm':
    case 'position':
      return part.kind;
    case 'mlp':
      return part.gated ? 'gated MLP' : 'MLP';
    case 'attention':
    case 'token embedding':
      return part.part;
    default:
      if (module instanceof Activation) return module.kind;
      if (module instanceof Linear || module instanceof Conv1D || module instanceof Dropout)
        return module.typeName;
      return module instanceof ModuleList ? 'list' : 'container';
  }
}

/** Facts by name, as text; those that hold only in some layers are listed together. */
export type Facts = ReadonlyMap<string, string>;

/** Facts about how large something is rather than what it does. */
const SIZES: ReadonlySet<string> = new Set([
  'times',
  'inputs',
  'outputs',
  'width',
  'hidden',
  'heads',
  'kvHeads',
  'headDim',
  'vocabSize',
  'positions',
]);

/** Facts about a printed module: its sizes, and what its class alone does not show. */
export function factsOf({ module, times }: TreeNode, model: CausalLM): Facts {
  const part = module.describe();
  if (part?.part === 'attention') {
    // Local and global layers print alike, and share one line.
    return merge(partsOf(model).attentions.map((attention) => flatten(attention)));
  }
  if (part?.part === 'layer' || part?.part === 'model') return flatten({ times, ...part });
  if (part) return flatten(part);
  if (module instanceof Linear || module instanceof Conv1D) {
    const [rows, columns] = module.weight.shape;
    const [inputs, outputs] = module instanceof Linear ? [columns, rows] : [rows, columns];
    const bias = module.bias !== undefined;
    return flatten({ inputs, outputs, bias });
  }
  if (module instanceof Dropout) return flatten({ p: module.p });
  return flatten({ times });
}

function flatten(value: object, prefix = ''): Map<string, string> {
  const facts = new Map<string, string>();
  for (const [name, inner] of Object.entries(value)) {
    if (name === 'part' || name === 'kind') continue;
    if (typeof inner === 'object' && inner !== null) {
      for (const [path, text] of flatten(inner, `${prefix}${name}.`)) facts.set(path, text);
    } else {
      facts.set(prefix + name, text(inner));
    }
  }
  return facts;
}

function text(value: unknown): string {
  if (value === null) return 'none';
  return String(typeof value === 'number' ? Number(value.toPrecision(6)) : value);
}

function merge(all: readonly Facts[]): Facts {
  const names = distinct(all.flatMap((facts) => [...facts.keys()]));
  return new Map(
    names.map((name) => [name, distinct(all.map((facts) => facts.get(name) ?? 'none')).join(' and ')]),
  );
}

/** Facts that differ. */
export function moduleChanges(left: Facts, right: Facts) {
  return distinct([...left.keys(), ...right.keys()])
    .map((field) => ({
      field,
      left: left.get(field) ?? 'none',
      right: right.get(field) ?? 'none',
      isSize: SIZES.has(field),
    }))
    .filter((change) => change.left !== change.right);
}
