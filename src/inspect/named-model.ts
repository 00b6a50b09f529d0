import type { SamplingDefaults } from '../checkpoint/generation-config.ts';
import type { TrainingFacts } from '../families/family.ts';
import { type BuiltModel, findPreset } from '../families/registry.ts';

/** A model under the name that the user gave it. */
export interface NamedModel extends BuiltModel {
  readonly name: string;
  /** The preset it is; undefined for a directory. */
  readonly preset?: string;
  /** Whether the name is a family's, which stands for all of its sizes. */
  readonly isFamily: boolean;
  /** How it was trained, as far as that is published. */
  readonly training?: TrainingFacts;
  /** What its configuration wants of sampling; undefined for a preset, empty where it says nothing. */
  readonly sampling?: SamplingDefaults;
  /** What its files say that is not so, or not done. */
  readonly warnings?: readonly string[];
}

/**
 * The model of a preset's name. A family's name alone stands for the family: its best-known size, and what is known
 * of how the family was trained.
 */
export function namedPreset(name: string): NamedModel | undefined {
  const found = findPreset(name);
  if (!found) return undefined;
  const { family, name: preset } = found;
  const { config, training } = found.preset;
  const isFamily = !name.includes('/') && name !== preset;
  const facts = isFamily ? family.training : training;
  return {
    name,
    preset,
    isFamily,
    family,
    config,
    model: family.build(config),
    ...(facts && { training: facts }),
  };
}
