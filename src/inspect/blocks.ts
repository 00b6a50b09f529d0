import type { AttentionPart, MlpPart } from '../nn/parts.ts';
import { activationName, attentionKind } from './features.ts';
import { short, small, whole } from './format.ts';
import { type Bilingual, same, valueLabels } from './labels.ts';
import { distinct, type ModelParts, type PlacedNorm, partsOf } from './model-parts.ts';
import type { NamedModel } from './named-model.ts';
import type { Role } from './roles.ts';
import { type ModelSummary, summarize } from './summary.ts';

/** One box of a block diagram. */
export interface Block {
  readonly title: Bilingual;
  readonly details: readonly Bilingual[];
  /** What it does, without its sizes; equal for blocks of the same kind. */
  readonly sort: string;
}

/** A place in the diagram where a model may have a box; the same places for every model. */
export interface Slot {
  readonly name: string;
  /** Drawn inside the frame of the repeated layer. */
  readonly inLayer: boolean;
  /** A residual sum ends here: the sublayer's input is added. */
  readonly sum?: true;
  block(model: NamedModel): Block | undefined;
}

const slot = (name: string, inLayer: boolean, block: Slot['block']): Slot => ({ name, inLayer, block });
const sum = (name: string): Slot => ({ name, inLayer: true, sum: true, block: () => undefined });

/** Places from the tokens to the logits, in the order of the data flow. */
export const slots: readonly Slot[] = [
  slot('tokens', false, () => ({ title: { en: 'Tokens', ko: '토큰' }, details: [], sort: 'tokens' })),
  slot('embedding', false, (model) => embeddingBlock(summaryOf(model))),
  slot('added positions', false, (model) => positionBlock(model, false)),
  slot('pre-attention norm', true, (model) => normBlock(model, 'pre-attention norm')),
  slot('query and key norms', true, (model) => normBlock(model, 'query norm')),
  slot('turned positions', true, (model) => positionBlock(model, true)),
  slot('attention', true, (model) => attentionBlock(summaryOf(model), partsOf(model.model))),
  slot('attention post-norm', true, (model) => normBlock(model, 'attention post-norm')),
  sum('attention sum'),
  slot('pre-mlp norm', true, (model) => normBlock(model, 'pre-mlp norm')),
  slot('mlp', true, (model) => mlpBlock(summaryOf(model), partsOf(model.model))),
  slot('mlp post-norm', true, (model) => normBlock(model, 'mlp post-norm')),
  sum('mlp sum'),
  slot('final norm', false, (model) => normBlock(model, 'final norm')),
  slot('head', false, (model) => headBlock(summaryOf(model))),
  slot('final cap', false, (model) => capBlock(summaryOf(model))),
  slot('logits', false, () => ({ title: valueLogits, details: [], sort: 'logits' })),
];

const valueLogits: Bilingual = { en: 'Logits', ko: '로짓' };
const summaries = new WeakMap<NamedModel, ModelSummary>();

function summaryOf(model: NamedModel): ModelSummary {
  let summary = summaries.get(model);
  if (!summary) {
    summary = summarize(model, model.name);
    summaries.set(model, summary);
  }
  return summary;
}

function embeddingBlock({ vocabSize, width, embeddingScale }: ModelSummary): Block {
  const scaled = embeddingScale !== 1;
  return {
    title: { en: 'Token embedding', ko: '토큰 임베딩' },
    details: [
      same(`${whole(vocabSize)} × ${whole(width)}`),
      ...(scaled ? [same(`× ${short(embeddingScale)}`)] : []),
    ],
    sort: `embedding ${scaled}`,
  };
}

/** Positions that are added to the embedding, or rotate queries and keys in every layer. */
function positionBlock(model: NamedModel, turned: boolean): Block | undefined {
  const { position, localPosition, rotary } = summaryOf(model);
  if (!position || (position.kind === 'rotary') !== turned) return undefined;
  const { kind, theta, scaling } = position;
  const title = valueLabels[kind];
  const where: Bilingual = turned
    ? { en: 'rotates queries and keys', ko: '쿼리와 키를 회전' }
    : { en: 'added to the embedding', ko: '임베딩에 더함' };
  const local = localPosition?.theta;
  const base = turned && theta !== undefined ? [same(`θ = ${whole(theta)}`)] : [];
  if (local !== undefined) {
    base.push({ en: `θ = ${whole(local)} in local layers`, ko: `로컬 층은 θ = ${whole(local)}` });
  }
  const still = rotary.filter((turns) => !turns).length;
  if (turned && still > 0) {
    base.push({
      en: `not in ${still} of ${rotary.length} layers`,
      ko: `${rotary.length}개 층 중 ${still}개는 제외`,
    });
  }
  const scaled = scaling ? [same(`${scaling.type} ×${scaling.factor}`)] : [];
  return {
    title,
    details: [where, ...base, ...scaled],
    sort: `${kind} ${scaling?.type} ${local !== undefined} ${still > 0}`,
  };
}

const normTitles: Partial<Record<Role, Bilingual>> = {
  'pre-attention norm': { en: 'before attention', ko: '어텐션 앞' },
  'query norm': { en: 'per head of queries and keys', ko: '쿼리와 키의 헤드마다' },
  'attention post-norm': { en: 'after attention', ko: '어텐션 뒤' },
  'pre-mlp norm': { en: 'before the MLP', ko: 'MLP 앞' },
  'mlp post-norm': { en: 'after the MLP', ko: 'MLP 뒤' },
  'final norm': { en: 'final', ko: '마지막' },
};

function normBlock(model: NamedModel, role: Role): Block | undefined {
  const norm: PlacedNorm | undefined = partsOf(model.model).norms.find((placed) => placed.role === role);
  if (!norm) return undefined;
  const weight = norm.weightOffset === 0 ? 'w' : `(${norm.weightOffset} + w)`;
  const place = normTitles[role] ?? same(role);
  const epsilon = `ε = ${small(norm.epsilon)}, × ${weight}`;
  return {
    title: same(norm.kind),
    details: [place, same(epsilon)],
    sort: `${norm.kind} ${norm.weightOffset}`,
  };
}

function attentionBlock(summary: ModelSummary, { attentions }: ModelParts): Block {
  const { heads, kvHeads, headDim, attentionSoftcap: cap, windows, biases } = summary;
  const local = distinct(windows.filter((window): window is number => window !== null));
  const details: Bilingual[] = [
    {
      en: `${heads} heads, ${kvHeads} for keys and values, of ${headDim}`,
      ko: `헤드 ${heads}개, 키·값 ${kvHeads}개, 차원 ${headDim}`,
    },
  ];
  if (local.length > 0) {
    details.push({
      en: `window ${local.map(whole).join(', ')}`,
      ko: `윈도우 ${local.map(whole).join(', ')}`,
    });
  }
  if (cap !== null) details.push({ en: `scores capped at ±${short(cap)}`, ko: `점수 제한 ±${short(cap)}` });
  if (biases.attention && biases.attentionOutput) details.push(withBiases);
  else if (biases.attention) {
    details.push({ en: 'biases of queries, keys and values', ko: '쿼리·키·값에 편향' });
  }
  details.push(...branchDetails(summary));
  const sorts = attentions.map(({ window, softcap, bias, outputBias }: AttentionPart) =>
    [window !== null, softcap !== null, bias, outputBias].join(),
  );
  const kind = attentionKind(summary);
  return {
    title: capitalized(kind),
    details,
    sort: [kind.en, summary.branchScale !== 1, ...distinct(sorts)].join(' '),
  };
}

function mlpBlock(summary: ModelSummary, { mlps }: ModelParts): Block {
  const { width, mlpHidden, gated, biases } = summary;
  const name = activationName(summary);
  const size = `${whole(width)} → ${whole(mlpHidden)} → ${whole(width)}`;
  const sorts = mlps.map(({ bias }: MlpPart) => String(bias));
  return {
    title: gated
      ? { en: `${name} (gated MLP)`, ko: `${name} (게이트 MLP)` }
      : { en: `MLP with ${name}`, ko: `${name} MLP` },
    details: [same(size), ...(biases.mlp ? [withBiases] : []), ...branchDetails(summary)],
    sort: [name, summary.branchScale !== 1, ...distinct(sorts)].join(' '),
  };
}

const withBiases: Bilingual = { en: 'with biases', ko: '편향 있음' };

/** The factor of a branch, if there is one. */
function branchDetails({ branchScale }: ModelSummary): Bilingual[] {
  if (branchScale === 1) return [];
  return [{ en: `× ${short(branchScale)} before the sum`, ko: `더하기 전 × ${short(branchScale)}` }];
}

function headBlock({ tiedHead, biases, logitScale }: ModelSummary): Block {
  return {
    title: { en: 'Output head', ko: '출력 헤드' },
    details: [
      tiedHead ? valueLabels.tied : valueLabels.untied,
      ...(biases.head ? [{ en: 'with a bias', ko: '편향 있음' }] : []),
      ...(logitScale === 1
        ? []
        : [{ en: `logits × ${short(logitScale)}`, ko: `로짓 × ${short(logitScale)}` }]),
    ],
    sort: `head ${tiedHead} ${biases.head} ${logitScale !== 1}`,
  };
}

function capBlock({ finalSoftcap: cap }: ModelSummary): Block | undefined {
  if (cap === null) return undefined;
  return {
    title: { en: 'Soft-cap', ko: '로짓 제한(소프트캡)' },
    details: [{ en: `logits kept within ±${short(cap)}`, ko: `로짓을 ±${short(cap)} 안으로` }],
    sort: 'cap',
  };
}

function capitalized({ en, ko }: Bilingual): Bilingual {
  return { en: en.charAt(0).toUpperCase() + en.slice(1), ko };
}
