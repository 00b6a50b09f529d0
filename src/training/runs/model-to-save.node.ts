import type { ModelToSave } from '../../checkpoint/save.node.ts';
import type { CommonConfig } from '../../families/config.ts';
import type { Family } from '../../families/family.ts';
import type { Learner } from '../learner.ts';

/** What is saved with the weights: family and config, and the tokenizer's files. */
export interface ModelIdentity {
  readonly family: Family;
  readonly config: CommonConfig;
  readonly files: readonly { readonly name: string; readonly data: string | Uint8Array }[];
  /** Further fields of `config.json`; the family's own take precedence. */
  readonly extraConfig?: Record<string, unknown>;
  /** For `generation_config.json`; by default the special tokens of the config. */
  readonly generationConfig?: Record<string, unknown>;
}

/** A learner's weights in the form in which they are saved. */
export async function modelToSave(learner: Learner, identity: ModelIdentity): Promise<ModelToSave> {
  const { family, config, files, extraConfig, generationConfig = defaultGeneration(config) } = identity;
  const parameters = learner.model.parameters();
  const values = await learner.values();
  const tensors = [...values.keys()].map((name) => {
    return { name, shape: parameters.get(name)!.shape, data: () => values.get(name)! };
  });
  return {
    config: { ...extraConfig, ...family.writeConfig(config) },
    tensors,
    files,
    ...(generationConfig && { generationConfig }),
  };
}

function defaultGeneration({ bos_token_id, eos_token_id }: CommonConfig) {
  if (eos_token_id.length === 0) return undefined;
  return { bos_token_id, eos_token_id: eos_token_id.length === 1 ? eos_token_id[0] : [...eos_token_id] };
}
