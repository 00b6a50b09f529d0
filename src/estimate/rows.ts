import type { Row } from '../inspect/compare.ts';
import { bytes, flops, whole } from '../inspect/format.ts';
import type { Bilingual, Locale } from '../inspect/labels.ts';
import {
  type Estimate,
  FILE_FORMATS,
  MEMORY_MODES,
  PARAMETER_PARTS,
  type ParameterPart,
} from './estimate.ts';

export const partLabels: Readonly<Record<ParameterPart, Bilingual>> = {
  embedding: { en: 'token embedding', ko: '토큰 임베딩' },
  positions: { en: 'positions', ko: '위치' },
  attention: { en: 'attention', ko: '어텐션' },
  mlp: { en: 'MLP', ko: 'MLP' },
  norms: { en: 'norms', ko: '정규화' },
  head: { en: 'output head', ko: '출력 헤드' },
};

export const modeLabels = {
  fast: { en: 'fast', ko: '빠르게(fast)' },
  recompute: { en: 'recompute', ko: '다시 계산(recompute)' },
  light: { en: 'light', ko: '가볍게(light)' },
} as const satisfies Record<string, Bilingual>;

/** Estimates as a table for display. */
export function estimateRows(
  estimates: readonly (Estimate & { readonly name: string })[],
  locale: Locale,
): Row[] {
  const row = (feature: Bilingual, value: (estimate: Estimate) => string): Row => ({
    feature: feature[locale],
    values: Object.fromEntries(estimates.map((each) => [each.name, value(each)])),
  });
  const used = PARAMETER_PARTS.filter((part) => estimates.some(({ parts }) => parts[part] > 0));
  return [
    row({ en: 'Parameters', ko: '파라미터' }, ({ parameters }) => whole(parameters)),
    ...used.map((part) =>
      row({ en: `  ${partLabels[part].en}`, ko: `  ${partLabels[part].ko}` }, ({ parts }) =>
        whole(parts[part]),
      ),
    ),
    ...FILE_FORMATS.map((format) =>
      row({ en: `File, ${format}`, ko: `파일, ${format}` }, ({ files }) => {
        const size = files[format];
        return size === null ? '—' : bytes(size);
      }),
    ),
    row({ en: 'Context', ko: '문맥 길이' }, ({ context }) => whole(context)),
    row({ en: 'Cache, bfloat16', ko: '캐시, bfloat16' }, ({ cache }) => bytes(cache.bfloat16)),
    row({ en: 'Cache, float32 (Ropewalk)', ko: '캐시, float32 (Ropewalk)' }, ({ cache }) =>
      bytes(cache.float32),
    ),
    row(
      { en: 'Cache, bfloat16, if all layers were global', ko: '캐시, bfloat16, 모든 층이 글로벌이라면' },
      ({ cache }) => bytes(cache.allGlobal),
    ),
    row({ en: 'Operations per token, weights', ko: '토큰당 연산, 가중치' }, (each) =>
      flops(each.flops.weights),
    ),
    row({ en: 'Operations per token, attention', ko: '토큰당 연산, 어텐션' }, (each) =>
      flops(each.flops.attention),
    ),
    ...MEMORY_MODES.map((mode) =>
      row(
        { en: `Fine-tuning memory, ${modeLabels[mode].en}`, ko: `파인튜닝 메모리, ${modeLabels[mode].ko}` },
        ({ training }) => bytes(training[mode].total),
      ),
    ),
  ];
}
