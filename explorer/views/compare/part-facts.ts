import { attentionFlopsPerToken, cacheBytes } from '../../../src/inspect/costs.ts';
import { partsOf } from '../../../src/inspect/model-parts.ts';
import type { NamedModel } from '../../../src/inspect/named-model.ts';
import type { Role } from '../../../src/inspect/roles.ts';
import { Conv1D, Linear } from '../../../src/nn/linear.ts';

/** The modules of each place of the diagram, by what they are for. */
const ROLES: Readonly<Record<string, readonly Role[]>> = {
  embedding: ['token embedding'],
  'added positions': ['position encoding'],
  'pre-attention norm': ['pre-attention norm'],
  'query and key norms': ['query norm', 'key norm'],
  attention: ['query', 'key', 'value', 'attention output'],
  'attention post-norm': ['attention post-norm'],
  'pre-mlp norm': ['pre-mlp norm'],
  mlp: ['gate', 'up', 'down'],
  'mlp post-norm': ['mlp post-norm'],
  'final norm': ['final norm'],
  head: ['head'],
};

export interface Weight {
  /** With `#` for the number of the layer. */
  readonly name: string;
  readonly shape: readonly number[];
  /** How many of them the model has. */
  readonly count: number;
}

export interface PartFacts {
  readonly weights: readonly Weight[];
  /** Numbers of all of them; those that are shared with another part are counted there. */
  readonly parameters: number;
  readonly shared: boolean;
  /** Operations of one token, the last of the context; a multiply-add is two. */
  readonly flops: number;
  /** Bytes in bfloat16 that the caches hold at the context; undefined where nothing is cached. */
  readonly cache: number | undefined;
}

/** What a part weighs and costs in a model, from its modules. */
export function factsOf(slot: string, { model }: NamedModel, context: number): PartFacts {
  const { roles } = partsOf(model);
  const wanted = ROLES[slot] ?? [];
  const weights = new Map<string, Weight>();
  let parameters = 0;
  let flops = 0;
  let shared = false;
  const head = model.head.weight;
  for (const [path, module] of model.walk()) {
    if (!(roles.get(module) ?? []).some((role) => wanted.includes(role))) continue;
    for (const [name, parameter] of module.ownParameters()) {
      const full = `${path}.${name}`.replace(/\.\d+\./, '.#.');
      const known = weights.get(full);
      weights.set(full, { name: full, shape: parameter.shape, count: (known?.count ?? 0) + 1 });
      const isTied = slot === 'head' && parameter === head && parameter.path !== `${path}.${name}`;
      if (isTied) shared = true;
      else parameters += parameter.size;
    }
    if (module instanceof Linear || module instanceof Conv1D) flops += 2 * module.weight.size;
  }
  const isAttention = slot === 'attention';
  return {
    weights: [...weights.values()],
    parameters,
    shared,
    flops: flops + (isAttention ? attentionFlopsPerToken(model, context) : 0),
    cache: isAttention ? cacheBytes(model, context, 'bfloat16') : undefined,
  };
}
