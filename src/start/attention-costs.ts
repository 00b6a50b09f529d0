import type { CausalLM } from '../families/family.ts';
import { familyByName } from '../families/registry.ts';
import { attentionFlopsPerToken, cacheBytes, type NumberFormat } from '../inspect/costs.ts';
import type { AttentionCosts, Costs } from '../report/results.ts';

/** In doubling steps from `from` on, up to the model's positions. */
function costsOf(title: string, model: CausalLM, from: number, format: NumberFormat): AttentionCosts {
  const points: { context: number; cacheBytes: number; flops: number }[] = [];
  for (let context = from; context <= model.maxPositions; context *= 2) {
    points.push({
      context,
      cacheBytes: cacheBytes(model, context, format),
      flops: attentionFlopsPerToken(model, context),
    });
  }
  return { title, points };
}

/** Costs of the families' tiny models and of their best-known sizes; no weights are needed. */
export function attentionCosts(names: readonly string[]): Costs {
  const of = (name: string, size: 'tiny' | 'published') => {
    const family = familyByName(name);
    const preset = size === 'tiny' ? 'tiny' : family.defaultPreset;
    const model = family.build(family.presets[preset]!.config);
    return size === 'tiny'
      ? costsOf(family.title, model, 8, 'float32')
      : costsOf(preset, model, 128, 'bfloat16');
  };
  return {
    trained: names.map((name) => of(name, 'tiny')),
    published: names.map((name) => of(name, 'published')),
  };
}
