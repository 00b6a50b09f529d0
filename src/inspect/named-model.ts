import type { SamplingDefaults } from '../checkpoint/generation-config.ts';
import type { TrainingFacts } from '../families/family.ts';
import { type BuiltModel, findPreset } from '../families/registry.ts';

/** A model under the name that the user gave it. */
export interface NamedModel extends BuiltModel {
  readonly name: string;
  /** The name of the preset; undefined for a directory. */
  readonly preset?: string;
  /** Whether the name is a family's, which represents all of its sizes. */
  readonly isFamily: boolean;
  /** Published facts about its training. */
  readonly training?: TrainingFacts;
  /** Its configuration's sampling defaults; undefined for a preset, empty if there are none. */
  readonly sampling?: SamplingDefaults;
  /** Statements of its files that are wrong or not followed. */
  readonly warnings?: readonly string[];
}

/**
 * The model of a preset's name. A family's name alone represents the family: its best-known size, and what is known
 * about the family's training.
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
