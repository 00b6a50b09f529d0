import type { ModelSummary } from './summary.ts';

export type Locale = 'en' | 'ko';

/** One text in each language. */
export type Bilingual = Readonly<Record<Locale, string>>;

/** A text that is the same in both languages: names, numbers. */
export function same(text: string): Bilingual {
  return { en: text, ko: text };
}

/** The rows of comparisons. */
export const featureLabels = {
  architecture: { en: 'Architecture', ko: '구조' },
  position: { en: 'Position encoding', ko: '위치 인코딩' },
  normalization: { en: 'Normalization', ko: '정규화' },
  attention: { en: 'Attention', ko: '어텐션' },
  activation: { en: 'Activation', ko: '활성화 함수' },
  trainingData: { en: 'Training data', ko: '학습 데이터' },
  training: { en: 'Training', ko: '학습 방법' },
  logits: { en: 'Logits', ko: '로짓' },
  sizes: { en: 'Sizes', ko: '모델 크기' },
  shown: { en: 'Size shown', ko: '표시한 크기' },
  parameters: { en: 'Parameters', ko: '파라미터 수' },
  layers: { en: 'Layers', ko: '층 수' },
  width: { en: 'Width', ko: '은닉 차원' },
  heads: { en: 'Query heads', ko: '쿼리 헤드 수' },
  kvHeads: { en: 'Key/value heads', ko: '키·값 헤드 수' },
  headDim: { en: 'Head size', ko: '헤드 차원' },
  mlpHidden: { en: 'MLP width', ko: 'MLP 차원' },
  vocabulary: { en: 'Vocabulary', ko: '어휘 크기' },
  context: { en: 'Context', ko: '최대 문맥 길이' },
  window: { en: 'Sliding window', ko: '슬라이딩 윈도우' },
  attentionCap: { en: 'Attention logit cap', ko: '어텐션 로짓 상한' },
  finalCap: { en: 'Final logit cap', ko: '최종 로짓 상한' },
  head: { en: 'Output head', ko: '출력 헤드' },
  embeddingScale: { en: 'Embedding scale', ko: '임베딩 배율' },
  theta: { en: 'Position base (theta)', ko: '위치 밑수(theta)' },
  scaling: { en: 'RoPE scaling', ko: 'RoPE 스케일링' },
  epsilon: { en: 'Norm epsilon', ko: '정규화 ε' },
  normWeight: { en: 'Norm weight', ko: '정규화 가중치' },
  placement: { en: 'Norm placement', ko: '정규화 위치' },
  queryScale: { en: 'Query scale', ko: '쿼리 배율' },
  headNorm: { en: 'Query and key norms', ko: '쿼리·키 정규화' },
  pattern: { en: 'Layer pattern', ko: '층 배치' },
  multipliers: { en: 'Multipliers', ko: '배수' },
  unrotated: { en: 'Layers without positions', ko: '위치 정보가 없는 층' },
  branchScale: { en: 'Branch scale', ko: '잔차 가지 배율' },
  logitScale: { en: 'Logit scale', ko: '로짓 배율' },
  biases: { en: 'Biases', ko: '편향' },
  initial: { en: 'Initial weights', ko: '초기 가중치' },
  weightFlops: { en: 'Weight FLOPs per token', ko: '토큰당 가중치 FLOPs' },
  cachePerToken: { en: 'KV cache per token (bfloat16)', ko: '토큰당 KV 캐시 (bfloat16)' },
} as const satisfies Record<string, Bilingual>;

export function attentionFlopsLabel(context: number): Bilingual {
  return {
    en: `Attention FLOPs per token at ${contextName(context)}`,
    ko: `문맥 ${contextName(context)}에서 토큰당 어텐션 FLOPs`,
  };
}

export function cacheLabel(context: number): Bilingual {
  return {
    en: `KV cache at ${contextName(context)} (bfloat16)`,
    ko: `문맥 ${contextName(context)}에서 KV 캐시 (bfloat16)`,
  };
}

const contextName = (context: number) => (context % 1024 === 0 ? `${context / 1024}k` : String(context));

/** Values that are words. */
export const valueLabels = {
  decoder: { en: 'decoder', ko: '디코더' },
  sinusoidal: { en: 'sinusoidal PE', ko: '사인파 위치 인코딩' },
  learned: { en: 'learned PE', ko: '학습된 위치 인코딩' },
  rotary: same('RoPE'),
  rotaryTwo: {
    en: 'RoPE, with separate bases for global and local layers',
    ko: 'RoPE, 글로벌·로컬 층의 밑수가 다름',
  },
  rotaryLocal: { en: 'RoPE in local layers, none in global ones', ko: '로컬 층은 RoPE, 글로벌 층은 없음' },
  rotarySome: { en: 'RoPE in some layers, none in others', ko: '일부 층만 RoPE' },
  allGlobal: { en: 'all global', ko: '모두 글로벌' },
  allLocal: { en: 'all local', ko: '모두 로컬' },
  multiHead: { en: 'multi-head attention', ko: '멀티 헤드 어텐션' },
  multiQuery: { en: 'multi-query attention', ko: '멀티 쿼리 어텐션' },
  groupedQuery: { en: 'grouped-query attention', ko: '그룹 쿼리 어텐션' },
  localAndGlobal: {
    en: 'local sliding-window and global layers',
    ko: '로컬 슬라이딩 윈도우 층과 글로벌 층',
  },
  local: { en: 'local sliding-window layers', ko: '로컬 슬라이딩 윈도우 층' },
  uncapped: { en: 'uncapped', ko: '제한 없음' },
  cappedBoth: {
    en: 'capped in attention and in the last layer',
    ko: '어텐션과 마지막 층에서 제한(클리핑)',
  },
  cappedAttention: { en: 'capped in attention', ko: '어텐션에서 제한(클리핑)' },
  cappedFinal: { en: 'capped in the last layer', ko: '마지막 층에서 제한(클리핑)' },
  none: { en: 'none', ko: '없음' },
  notRecorded: { en: 'not recorded', ko: '기록 없음' },
  untrained: { en: 'none (random weights)', ko: '없음 (무작위 가중치)' },
  directory: { en: 'directory', ko: '폴더' },
  tied: { en: 'tied to the embedding', ko: '임베딩과 공유' },
  untied: { en: 'separate weights', ko: '별도 가중치' },
  queryKeyValueBias: { en: 'queries, keys and values', ko: '쿼리·키·값' },
  outputBias: { en: 'attention output', ko: '어텐션 출력' },
  attentionBias: { en: 'attention', ko: '어텐션' },
  mlpBias: same('MLP'),
  headBias: { en: 'head', ko: '출력 헤드' },
  beyond: same('—'),
} as const satisfies Record<string, Bilingual>;

export const placementLabels: Readonly<Record<ModelSummary['norm']['placement'], Bilingual>> = {
  before: { en: 'before attention and MLP', ko: '어텐션과 MLP 앞' },
  after: { en: 'after attention and MLP', ko: '어텐션과 MLP 뒤' },
  none: { en: 'only before the head', ko: '출력 헤드 앞에만' },
  'before and after': { en: 'before and after attention and MLP', ko: '어텐션과 MLP 앞뒤' },
};

/** Phrases in the families' training metadata, longest first if one contains another. */
const phrases: readonly (readonly [RegExp, string])[] = [
  [
    /next-token prediction with logits of ([\w ]+) models, from pruned weights/g,
    '가지치기한 가중치에서 시작, $1 모델의 로짓을 쓴 다음 토큰 예측',
  ],
  [/next-token prediction/g, '다음 토큰 예측'],
  [/knowledge distillation/g, '지식 증류'],
  [/([\d.]+M) \+ ([\d.]+M) sentence pairs/g, '$1 + $2 문장 쌍'],
  [/about ([\d.]+T) tokens/g, '약 $1 토큰'],
  [/not published/g, '공개되지 않음'],
  [/([\d.]+T) to ([\d.]+T) tokens/g, '$1~$2 토큰'],
  [/up to ([\d.]+T) tokens/g, '최대 $1 토큰'],
  [/([\d.]+T) tokens/g, '$1 토큰'],
  [/([\d.]+ GB) of text/g, '텍스트 $1'],
  [/(\w+) and (\w+) models/g, '$1·$2 모델'],
  [/(\w+) and (\w+) 모델/g, '$1·$2 모델'],
];

/** Training metadata in both languages. */
export function metadata(text: string): Bilingual {
  return { en: text, ko: phrases.reduce((result, [phrase, korean]) => result.replace(phrase, korean), text) };
}

/** Headings of printed comparisons and differences. */
export const tableTitles = {
  feature: { en: 'Feature', ko: '항목' },
  families: { en: 'Families', ko: '모델 계열' },
  generations: { en: 'From one generation to the next', ko: '세대 사이의 변화' },
  numbers: { en: 'In numbers', ko: '수치 비교' },
} as const satisfies Record<string, Bilingual>;
