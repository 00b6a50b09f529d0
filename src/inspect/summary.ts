import type { BuiltModel } from '../families/registry.ts';
import type { MlpPart, PositionPart } from '../nn/parts.ts';
import {
  attentionFlopsPerToken,
  BYTES_PER_NUMBER,
  cacheBytes,
  cacheBytesPerToken,
  contextsFor,
  type NumberFormat,
  weightFlopsPerToken,
} from './costs.ts';
import { distinct, partsOf } from './model-parts.ts';

/** Positions of norms in a layer. */
export type NormPlacement = 'before' | 'after' | 'before and after' | 'none';

/** A cost at a context length. */
export interface CostAt {
  readonly context: number;
  readonly value: number;
}

/** A model in numbers, all derived from its modules and their shapes. */
export interface ModelSummary {
  readonly name: string;
  readonly family: string;
  readonly title: string;
  /** The class in `transformers`. */
  readonly architecture: string;
  /** The number of distinct trained values; tied weights count once. */
  readonly parameters: number;
  readonly parameterBytes: Readonly<Record<NumberFormat, number>>;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly mlpHidden: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  /** For each layer the number of keys that a query sees, including its own; null means all. */
  readonly windows: readonly (number | null)[];
  /** Null if there are no positions. */
  readonly position: PositionPart | null;
  /** The positions of local layers, if they differ; `position` is then that of global ones. */
  readonly localPosition: PositionPart | null;
  /** For each layer, whether it rotates queries and keys. */
  readonly rotary: readonly boolean[];
  /** The per-head norms of queries and keys; null if there are none. */
  readonly headNorm: string | null;
  readonly norm: {
    readonly kind: string;
    /** ε of the norms inside the layers. */
    readonly epsilon: number;
    readonly finalEpsilon: number;
    /** The output is scaled by weight + offset. */
    readonly weightOffset: number;
    readonly placement: NormPlacement;
  };
  readonly activation: MlpPart['activation'];
  readonly gated: boolean;
  readonly attentionSoftcap: number | null;
  readonly finalSoftcap: number | null;
  /** The factor of attention scores. */
  readonly queryScale: number;
  readonly biases: {
    /** Of the query, key and value projections. */
    readonly attention: boolean;
    /** Of the output projection. */
    readonly attentionOutput: boolean;
    readonly mlp: boolean;
    readonly head: boolean;
  };
  readonly tiedHead: boolean;
  readonly embeddingScale: number;
  /** The factor of each branch before the residual addition. */
  readonly branchScale: number;
  /** The factor of the logits, before the cap. */
  readonly logitScale: number;
  /** Standard deviation of the embedding's initial values. */
  readonly initialDeviation: number;
  /** Operations of a forward pass for one token; a multiply-add is two. */
  readonly flopsPerToken: {
    /** Products with weight matrices. */
    readonly weights: number;
    /** Attention itself, for the last token of each context length that the positions allow. */
    readonly attention: readonly CostAt[];
  };
  readonly cache: Readonly<
    Record<'float32' | 'bfloat16', { readonly bytesPerToken: number; readonly bytes: readonly CostAt[] }>
  >;
}

/**
 * Summarizes a model.
 *
 * @param name as the user gave it: a preset or a directory.
 * @throws Error for a model whose layers differ in more than windows and positions: it has no single number of heads.
 */
export function summarize({ family, model }: BuiltModel, name: string): ModelSummary {
  const { embedding, positions, attentions, mlps, norms, branchScales, logitScale } = partsOf(model);
  const one = <T>(values: readonly T[], what: string): T => {
    const [value, ...others] = distinct(values);
    if (value === undefined || others.length > 0) {
      throw new Error(`${name}: ${value === undefined ? `no layer has` : `layers differ in`} ${what}.`);
    }
    return value;
  };
  const parameters = model.parameterCount();
  const layerNorms = norms.filter(({ role }) => role !== 'final norm');
  const headNorms = norms.filter(({ role }) => role === 'query norm' || role === 'key norm');
  const local = positions.find(({ layers }) => layers === 'local') ?? null;
  const shared = positions.filter((position) => position !== local);
  const finalNorms = norms.filter(({ role }) => role === 'final norm');
  const contexts = contextsFor([model]);
  const cache = (format: NumberFormat) => ({
    bytesPerToken: cacheBytesPerToken(model, format),
    bytes: contexts.map((context) => ({ context, value: cacheBytes(model, context, format) })),
  });
  const { initializer } = [...model.parameters().values()][0]!;
  return {
    name,
    family: family.name,
    title: family.title,
    architecture: family.architecture,
    parameters,
    parameterBytes: {
      float32: parameters * BYTES_PER_NUMBER.float32,
      bfloat16: parameters * BYTES_PER_NUMBER.bfloat16,
      float16: parameters * BYTES_PER_NUMBER.float16,
    },
    layers: attentions.length,
    width: embedding.width,
    heads: one(
      attentions.map(({ heads }) => heads),
      'a number of heads',
    ),
    kvHeads: one(
      attentions.map(({ kvHeads }) => kvHeads),
      'a number of key/value heads',
    ),
    headDim: one(
      attentions.map(({ headDim }) => headDim),
      'a head size',
    ),
    mlpHidden: one(
      mlps.map(({ hidden }) => hidden),
      'an MLP width',
    ),
    vocabSize: embedding.vocabSize,
    maxPositions: model.maxPositions,
    windows: attentions.map(({ window }) => window),
    position: shared.length === 0 ? null : one(shared, 'position encoding'),
    localPosition: local,
    rotary: attentions.map(({ rotary }) => rotary),
    headNorm:
      headNorms.length === 0
        ? null
        : one(
            headNorms.map(({ kind }) => kind),
            'norms of queries and keys',
          ),
    norm: {
      kind: one(
        norms.map(({ kind }) => kind),
        'norms',
      ),
      epsilon: one(
        (layerNorms.length > 0 ? layerNorms : finalNorms).map(({ epsilon }) => epsilon),
        'an ε',
      ),
      finalEpsilon: one(
        finalNorms.map(({ epsilon }) => epsilon),
        'a final ε',
      ),
      weightOffset: one(
        norms.map(({ weightOffset }) => weightOffset),
        'a norm weight offset',
      ),
      placement: placement(layerNorms.map(({ role }) => role)),
    },
    activation: one(
      mlps.map(({ activation }) => activation),
      'an activation',
    ),
    gated: one(
      mlps.map(({ gated }) => gated),
      'a gate',
    ),
    attentionSoftcap: one(
      attentions.map(({ softcap }) => softcap),
      'a soft-cap',
    ),
    finalSoftcap: model.head.softcap,
    queryScale: one(
      attentions.map(({ scale }) => scale),
      'a query scale',
    ),
    biases: {
      attention: one(
        attentions.map(({ bias }) => bias),
        'attention biases',
      ),
      attentionOutput: one(
        attentions.map(({ outputBias }) => outputBias),
        'output biases',
      ),
      mlp: one(
        mlps.map(({ bias }) => bias),
        'MLP biases',
      ),
      head: model.head.bias !== undefined,
    },
    tiedHead:
      [...model.parameterPlaces()].filter(([, parameter]) => parameter === model.head.weight).length > 1,
    embeddingScale: embedding.scale,
    branchScale: branchScales.length === 0 ? 1 : one(branchScales, 'a branch scale'),
    logitScale,
    initialDeviation: 'normal' in initializer ? initializer.normal : 0,
    flopsPerToken: {
      weights: weightFlopsPerToken(model),
      attention: contexts.map((context) => ({ context, value: attentionFlopsPerToken(model, context) })),
    },
    cache: { float32: cache('float32'), bfloat16: cache('bfloat16') },
  };
}

function placement(roles: readonly string[]): NormPlacement {
  const before = roles.some((role) => role.startsWith('pre-'));
  const after = roles.some((role) => role.endsWith('post-norm'));
  if (before) return after ? 'before and after' : 'before';
  return after ? 'after' : 'none';
}
