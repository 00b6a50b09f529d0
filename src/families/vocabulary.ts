import type { CommonConfig } from './config.ts';
import type { CausalLM, Family } from './family.ts';
import type { BuiltModel } from './registry.ts';

/** A model with room for at least `vocabSize` tokens. */
export function withVocabulary(
  family: Family,
  config: CommonConfig,
  vocabSize: number,
): { config: CommonConfig; model: CausalLM } {
  const larger = { ...config, vocab_size: Math.max(config.vocab_size, vocabSize) };
  return { config: larger, model: family.build(larger) };
}

/** Paths of the weights with a row for each token: a larger vocabulary makes them larger. */
export function vocabularyWeights({ family, config, model }: BuiltModel): Set<string> {
  const larger = withVocabulary(family, config, config.vocab_size + 1).model.parameters();
  const grown = [...model.parameters()].filter(([path, { size }]) => larger.get(path)!.size !== size);
  return new Set(grown.map(([path]) => path));
}
