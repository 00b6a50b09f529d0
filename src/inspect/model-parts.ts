import type { CausalLM } from '../families/family.ts';
import type { Module } from '../nn/module.ts';
import type { AttentionPart, MlpPart, NormPart, Part, PositionPart } from '../nn/parts.ts';
import { type Role, type Roles, rolesOf } from './roles.ts';

type TokenEmbeddingPart = Extract<Part, { part: 'token embedding' }>;

/** A norm with its role. */
export interface PlacedNorm extends NormPart {
  readonly role: Role;
}

/** The self-descriptions of a model's modules, by kind. */
export interface ModelParts {
  readonly roles: Roles;
  readonly embedding: TokenEmbeddingPart;
  readonly positions: readonly PositionPart[];
  readonly attentions: readonly AttentionPart[];
  readonly mlps: readonly MlpPart[];
  readonly norms: readonly PlacedNorm[];
  /** The branch factor of each layer. */
  readonly branchScales: readonly number[];
  readonly logitScale: number;
}

const known = new WeakMap<CausalLM, ModelParts>();

/** The parts of a model, in the order of its modules. @throws Error if it has no token embedding. */
export function partsOf(model: CausalLM): ModelParts {
  let parts = known.get(model);
  if (!parts) {
    parts = collect(model);
    known.set(model, parts);
  }
  return parts;
}

function collect(model: CausalLM): ModelParts {
  const roles = rolesOf(model);
  const found: [Module, Part][] = [];
  for (const [, module] of model.walk()) {
    const part = module.describe();
    if (part) found.push([module, part]);
  }
  const all = found.map(([, part]) => part);
  const embedding = all.find((part) => part.part === 'token embedding');
  if (!embedding) throw new Error(`${model.typeName} has no token embedding that describes itself.`);
  return {
    roles,
    embedding,
    positions: all.filter((part) => part.part === 'position'),
    attentions: all.filter((part) => part.part === 'attention'),
    mlps: all.filter((part) => part.part === 'mlp'),
    branchScales: all.flatMap((part) => (part.part === 'layer' ? [part.branchScale] : [])),
    logitScale: all.find((part) => part.part === 'model')?.logitScale ?? 1,
    norms: found.flatMap(([module, part]) =>
      part.part === 'norm' ? [{ ...part, role: roles.get(module)?.[0] ?? 'other' }] : [],
    ),
  };
}

/** Each value once, in the order of first appearance. */
export function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
