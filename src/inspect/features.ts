import type { Family } from '../families/family.ts';
import { attentionFlopsPerToken, cacheBytes, contextsFor } from './costs.ts';
import { bytes, flops, short, sizeName, small, whole } from './format.ts';
import {
  attentionFlopsLabel,
  type Bilingual,
  cacheLabel,
  featureLabels as labels,
  metadata,
  placementLabels,
  same,
  valueLabels as values,
} from './labels.ts';
import { distinct } from './model-parts.ts';
import type { NamedModel } from './named-model.ts';
import type { ModelSummary } from './summary.ts';

/** One row of a comparison: a name, and how its value is derived from a model. */
export interface Feature {
  readonly label: Bilingual;
  readonly value: (model: NamedModel, summary: ModelSummary) => Bilingual;
  /** Whether a model has a value here; if none has, the row is omitted. By default every model has. */
  readonly says?: (summary: ModelSummary) => boolean;
}

export function attentionKind({ heads, kvHeads, windows }: ModelSummary): Bilingual {
  const sharing =
    kvHeads === heads ? values.multiHead : kvHeads === 1 ? values.multiQuery : values.groupedQuery;
  if (windows.every((window) => window === null)) return sharing;
  const range = windows.includes(null) ? values.localAndGlobal : values.local;
  return { en: `${range.en}, ${sharing.en}`, ko: `${range.ko}, ${sharing.ko}` };
}

const GATED = { relu: 'ReGLU', gelu: 'GeGLU', silu: 'SwiGLU' } as const;
const PLAIN = { relu: 'ReLU', gelu: 'GELU', silu: 'SiLU' } as const;

export function activationName({ activation, gated }: ModelSummary): string {
  return (gated ? GATED : PLAIN)[activation];
}

function positionText({ position, localPosition, rotary, windows }: ModelSummary): Bilingual {
  if (!position) return values.none;
  if (localPosition) return values.rotaryTwo;
  if (position.kind !== 'rotary' || rotary.every(Boolean)) return values[position.kind];
  const byWindow = rotary.every((turns, i) => turns === (windows[i] !== null));
  return byWindow ? values.rotaryLocal : values.rotarySome;
}

/** How local and global layers alternate: `5 local : 1 global`. */
function patternText({ windows }: ModelSummary): Bilingual {
  const local = windows.map((window) => window !== null);
  if (!local.includes(true)) return values.allGlobal;
  if (!local.includes(false)) return values.allLocal;
  const run = local.indexOf(false);
  const repeats = run > 0 && local.every((isLocal, i) => isLocal === ((i + 1) % (run + 1) !== 0));
  if (repeats) return { en: `${run} local : 1 global`, ko: `로컬 ${run} : 글로벌 1` };
  return same(local.map((isLocal) => (isLocal ? 'L' : 'G')).join(''));
}

/** Gemma 2's layers alternate one by one; runs of local ones are newer. */
const hasRuns = ({ windows }: ModelSummary): boolean =>
  windows.includes(null) && windows.some((window, i) => window !== null && windows[i + 1] != null);

function multipliersText({ branchScale, logitScale, embeddingScale }: ModelSummary): Bilingual {
  if (branchScale === 1 && logitScale === 1) return values.none;
  const [embedding, branch, logit] = [embeddingScale, branchScale, logitScale].map(short);
  return {
    en: `embedding ×${embedding}, branches ×${branch}, logits ×${logit}`,
    ko: `임베딩 ×${embedding}, 잔차 가지 ×${branch}, 로짓 ×${logit}`,
  };
}

function logits({ attentionSoftcap, finalSoftcap }: ModelSummary): Bilingual {
  if (attentionSoftcap !== null) return finalSoftcap !== null ? values.cappedBoth : values.cappedAttention;
  return finalSoftcap !== null ? values.cappedFinal : values.uncapped;
}

/**
 * Facts about the preset or family; a directory does not say what it was trained on, and tiny presets have no weights.
 */
function trainingFact(model: NamedModel, fact: 'data' | 'method'): Bilingual {
  if (model.training) return metadata(model.training[fact]);
  return model.preset === undefined ? values.notRecorded : values.untrained;
}

/** The sizes of a family as its publisher names them; if the presets' names do not say, by parameters. */
function familySizes(family: Family): readonly string[] {
  const known = knownSizes.get(family) ?? measureSizes(family);
  knownSizes.set(family, known);
  return known;
}

const knownSizes = new WeakMap<Family, readonly string[]>();

function sizesText(family: Family): Bilingual {
  const sizes = familySizes(family);
  return sizes.length === 0 ? values.notRecorded : same(sizes.join(', '));
}

function measureSizes(family: Family): string[] {
  const sizes = Object.entries(family.presets)
    .filter(([name]) => name !== 'tiny')
    .map(([name, { config }]) => {
      const parameters = family.build(config).parameterCount();
      return {
        parameters,
        text: /-(\d+(?:\.\d+)?[bm])$/.exec(name)?.[1]?.toUpperCase() ?? sizeName(parameters),
      };
    });
  return distinct(sizes.sort((a, b) => a.parameters - b.parameters).map(({ text }) => text));
}

const architecture: Feature = { label: labels.architecture, value: () => values.decoder };
const position: Feature = { label: labels.position, value: (_, s) => positionText(s) };
const normalization: Feature = { label: labels.normalization, value: (_, s) => same(s.norm.kind) };
const attention: Feature = { label: labels.attention, value: (_, s) => attentionKind(s) };
const activation: Feature = { label: labels.activation, value: (_, s) => same(activationName(s)) };
const trainingData: Feature = { label: labels.trainingData, value: (m) => trainingFact(m, 'data') };
const training: Feature = { label: labels.training, value: (m) => trainingFact(m, 'method') };
const placement: Feature = { label: labels.placement, value: (_, s) => placementLabels[s.norm.placement] };
const biases: Feature = { label: labels.biases, value: (_, s) => biasText(s) };
const logitsFeature: Feature = { label: labels.logits, value: (_, s) => logits(s) };
const sizes: Feature = { label: labels.sizes, value: (m) => sizesText(m.family) };

/** Features newer than the four families of the table: rows that appear with the first model that has them. */
const newer: readonly Feature[] = [
  {
    label: labels.headNorm,
    value: (_, s) =>
      s.headNorm ? { en: `${s.headNorm} per head`, ko: `헤드마다 ${s.headNorm}` } : values.none,
    says: (s) => s.headNorm !== null,
  },
  { label: labels.pattern, value: (_, s) => patternText(s), says: hasRuns },
  { ...placement, says: (s) => s.norm.placement === 'after' },
  { ...biases, says: (s) => s.biases.attention && !s.biases.attentionOutput },
  {
    label: labels.multipliers,
    value: (_, s) => multipliersText(s),
    says: (s) => s.branchScale !== 1 || s.logitScale !== 1,
  },
];

/** The table of families. */
export const familyTable: readonly Feature[] = [
  architecture,
  position,
  normalization,
  attention,
  activation,
  trainingData,
  ...newer,
];

/** The table of a model and its successor. */
export const successorTable: readonly Feature[] = [
  attention,
  { ...position, says: (s) => s.localPosition !== null },
  training,
  normalization,
  logitsFeature,
  sizes,
  ...newer,
];

function windowText({ windows }: ModelSummary): Bilingual {
  const local = windows.filter((window) => window !== null);
  if (local.length === 0) return values.none;
  const size = distinct(local).map(whole).join(', ');
  return {
    en: `${size} in ${local.length} of ${windows.length} layers`,
    ko: `${size}, ${windows.length}개 층 중 ${local.length}개`,
  };
}

function scalingText({ position }: ModelSummary): Bilingual {
  const scaling = position?.scaling;
  if (!scaling) return values.none;
  const { type, factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling;
  const rest = `${type} ×${factor}${low === undefined ? '' : `, ${low}–${high}`}`;
  if (originalPositions === undefined) return same(rest);
  return { en: `${rest}, from ${whole(originalPositions)}`, ko: `${rest}, 원래 ${whole(originalPositions)}` };
}

function attentionBias({ attention: projections, attentionOutput }: ModelSummary['biases']): Bilingual[] {
  if (projections) return [attentionOutput ? values.attentionBias : values.queryKeyValueBias];
  return attentionOutput ? [values.outputBias] : [];
}

function biasText({ biases }: ModelSummary): Bilingual {
  const places = [
    ...attentionBias(biases),
    ...(biases.mlp ? [values.mlpBias] : []),
    ...(biases.head ? [values.headBias] : []),
  ];
  if (places.length === 0) return values.none;
  return { en: places.map(({ en }) => en).join(', '), ko: places.map(({ ko }) => ko).join(', ') };
}

/** 1/√256 shows where a scale comes from; if its inverse square is not an integer, the number itself. */
function scaleText(scale: number): string {
  const square = scale ** -2;
  const near = Math.round(square);
  return Math.abs(square - near) < 1e-6 * near ? `1/√${near}` : short(scale);
}

function thetaText({ position, localPosition }: ModelSummary): Bilingual {
  if (position?.theta === undefined) return values.none;
  if (localPosition?.theta === undefined) return same(whole(position.theta));
  return {
    en: `${whole(position.theta)}, local ${whole(localPosition.theta)}`,
    ko: `${whole(position.theta)}, 로컬 ${whole(localPosition.theta)}`,
  };
}

function epsilonText({ norm: { epsilon, finalEpsilon } }: ModelSummary): Bilingual {
  if (epsilon === finalEpsilon) return same(small(epsilon));
  return {
    en: `${small(epsilon)}, final ${small(finalEpsilon)}`,
    ko: `${small(epsilon)}, 마지막 ${small(finalEpsilon)}`,
  };
}

const number = (label: Bilingual, read: (summary: ModelSummary) => number): Feature => ({
  label,
  value: (_, summary) => same(whole(read(summary))),
});
const cap = (label: Bilingual, read: (summary: ModelSummary) => number | null): Feature => ({
  label,
  value(_, summary) {
    const value = read(summary);
    return value === null ? values.none : same(short(value));
  },
});

/** A cost at a context length; undefined beyond the model's positions. */
const costAt = (
  label: Bilingual,
  context: number,
  cost: (model: NamedModel['model']) => string,
): Feature => ({
  label,
  value: ({ model }) => (context > model.maxPositions ? values.beyond : same(cost(model))),
});

/** The costs of attention, at context lengths that suit these models. */
function costFeatures(models: readonly NamedModel[]): Feature[] {
  const contexts = contextsFor(models.map(({ model }) => model));
  return [
    ...contexts.map((context) =>
      costAt(attentionFlopsLabel(context), context, (model) => flops(attentionFlopsPerToken(model, context))),
    ),
    { label: labels.cachePerToken, value: (_, s) => same(bytes(s.cache.bfloat16.bytesPerToken)) },
    ...contexts.map((context) =>
      costAt(cacheLabel(context), context, (model) => bytes(cacheBytes(model, context, 'bfloat16'))),
    ),
  ];
}

/** All rows for these models, those of the two tables first. */
export function allFeatures(models: readonly NamedModel[]): Feature[] {
  const own = new Set(numbers.map(({ label }) => label));
  // What the numbers state anyway is listed once.
  const table = familyTable.filter(({ label }) => !own.has(label));
  return [...table, training, logitsFeature, sizes, ...numbers, ...costFeatures(models)];
}

const numbers: readonly Feature[] = [
  { label: labels.shown, value: (m) => (m.preset === undefined ? values.directory : same(m.preset)) },
  number(labels.parameters, (s) => s.parameters),
  number(labels.layers, (s) => s.layers),
  number(labels.width, (s) => s.width),
  number(labels.heads, (s) => s.heads),
  number(labels.kvHeads, (s) => s.kvHeads),
  number(labels.headDim, (s) => s.headDim),
  number(labels.mlpHidden, (s) => s.mlpHidden),
  number(labels.vocabulary, (s) => s.vocabSize),
  number(labels.context, (s) => s.maxPositions),
  { label: labels.window, value: (_, s) => windowText(s) },
  cap(labels.attentionCap, (s) => s.attentionSoftcap),
  cap(labels.finalCap, (s) => s.finalSoftcap),
  { label: labels.head, value: (_, s) => (s.tiedHead ? values.tied : values.untied) },
  { label: labels.embeddingScale, value: (_, s) => same(short(s.embeddingScale)) },
  {
    label: labels.theta,
    value: (_, s) => thetaText(s),
  },
  {
    label: labels.unrotated,
    value: (_, { rotary }) => same(String(rotary.filter((turns) => !turns).length)),
    says: ({ position, rotary }) => position?.kind === 'rotary' && rotary.includes(false),
  },
  { label: labels.scaling, value: (_, s) => scalingText(s) },
  { label: labels.epsilon, value: (_, s) => epsilonText(s) },
  {
    label: labels.normWeight,
    value: (_, s) => same(s.norm.weightOffset === 0 ? 'w' : `${s.norm.weightOffset} + w`),
  },
  placement,
  { label: labels.queryScale, value: (_, s) => same(scaleText(s.queryScale)) },
  biases,
  {
    label: labels.branchScale,
    value: (_, s) => same(short(s.branchScale)),
    says: (s) => s.branchScale !== 1,
  },
  { label: labels.logitScale, value: (_, s) => same(short(s.logitScale)), says: (s) => s.logitScale !== 1 },
  { label: labels.initial, value: (_, s) => same(`N(0, ${short(s.initialDeviation)}²)`) },
  { label: labels.weightFlops, value: (_, s) => same(flops(s.flopsPerToken.weights)) },
];
