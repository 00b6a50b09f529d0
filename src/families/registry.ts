import { RopewalkError } from '../errors.ts';
import { unsupportedKind } from './common/unsupported.ts';
import type { CommonConfig, RawConfig } from './config.ts';
import { exaone4 } from './exaone4.ts';
import { EXCHANGED_TYPE, exchange, type PartChanges, parseChanges, readChanges } from './exchange.ts';
import type { CausalLM, Family, MultimodalForm, Preset } from './family.ts';
import { gemma } from './gemma.ts';
import { gemma2 } from './gemma2.ts';
import { gemma3 } from './gemma3.ts';
import { gpt } from './gpt.ts';
import { gpt2 } from './gpt2.ts';
import { hyperclovax } from './hyperclovax.ts';
import { llama } from './llama.ts';
import { mistral } from './mistral.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';

/** Ropewalk's own families. A new one is a file in this folder and a line here. */
const own = [
  gpt,
  gpt2,
  gemma,
  gemma2,
  gemma3,
  llama,
  mistral,
  qwen2,
  qwen3,
  exaone4,
  hyperclovax,
] as unknown as readonly Family[];

const all = [...own];

/** All families: Ropewalk's own, then the registered ones. */
export const families: readonly Family[] = all;

/** Other names that people use. */
const aliases: Readonly<Record<string, string>> = { llama3: 'llama', ctrl: 'gpt' };

/**
 * Registers a custom family, which then works like the built-in ones: its `model_type` is read from config.json and
 * GGUF files, and `familyByName`, `findPreset`, comparisons and training know its name and presets.
 *
 * It is known only in this thread. For other threads and the command line, load a module that registers it before
 * everything else: `node --import ./my-family.js …`.
 *
 * @returns a function that unregisters it.
 * @throws RopewalkError if a name is taken or invalid, or the default preset is missing.
 */
export function registerFamily<C extends CommonConfig>(family: Family<C>): () => void {
  const added = family as unknown as Family;
  checkNewFamily(added);
  all.push(added);
  return () => {
    const at = all.indexOf(added);
    if (at >= 0) all.splice(at, 1);
  };
}

function checkNewFamily({ name, modelType, presets, defaultPreset }: Family): void {
  const refuse = (problem: string) =>
    new RopewalkError(`the family "${name}" cannot be registered: ${problem}.`);
  if (!/^[A-Za-z][\w.-]*$/.test(name))
    throw refuse('its name must be letters, digits, ".", "_" and "-", a letter first');
  if (families.some((other) => other.name === name) || Object.hasOwn(aliases, name))
    throw refuse('there is already a family with that name; choose another');
  const types = families.flatMap((other) => [other.modelType, other.multimodal?.modelType]);
  if (types.includes(modelType) || modelType === EXCHANGED_TYPE)
    throw refuse(`there is already a family with the modelType "${modelType}"; choose another`);
  if (!Object.hasOwn(presets, defaultPreset))
    throw refuse(`its defaultPreset "${defaultPreset}" is not among its presets`);
  const taken = Object.keys(presets).find((preset) => presetNames().includes(preset));
  if (taken !== undefined) throw refuse(`there is already a preset "${taken}"; choose another name for it`);
}

/** The registered families, without Ropewalk's own. */
export function registeredFamilies(): readonly Family[] {
  return families.filter((family) => !own.includes(family));
}

/** Thrown for a model of an unknown family. */
class UnknownFamilyError extends RopewalkError {
  override name = 'UnknownFamilyError';
}

/** @param name of a family, with exchanged parts after a plus sign: `llama`, `gpt+positions=rotary`. */
export function familyByName(name: string): Family {
  const [plain, changes] = splitName(name);
  const wanted = aliases[plain] ?? plain;
  const family = families.find((candidate) => candidate.name === wanted);
  if (family && changes) return exchange(family, changes);
  if (!family) throw new RopewalkError(`there is no family "${name}"; the families are ${familyNames()}.`);
  return family;
}

function splitName(name: string): [string, PartChanges | undefined] {
  const plus = name.indexOf('+');
  return plus < 0 ? [name, undefined] : [name.slice(0, plus), parseChanges(name.slice(plus + 1))];
}

export function familyNames(): string {
  return [...families.map(({ name }) => name), 'llama3'].join(', ');
}

/** The family of a config.json, by its model_type. */
export function familyOfConfig(raw: RawConfig, file: string): Family {
  const type = raw.model_type;
  if (type === EXCHANGED_TYPE) {
    const base = familyOfConfig({ model_type: raw.base_model_type }, file);
    return exchange(base, readChanges(raw.exchanged_parts, file));
  }
  const multimodal = families.find((candidate) => candidate.multimodal?.modelType === type);
  if (multimodal && type !== undefined) return multimodal;
  const family = families.find(({ modelType }) => modelType === type);
  // A registered family's `readConfig` decides what it supports.
  const kind =
    family && !own.includes(family) ? undefined : unsupportedKind(raw, typeof type === 'string' ? type : '');
  if (family && !kind) return family;
  const types = families.map(({ modelType }) => modelType).join(', ');
  if (type === undefined) {
    throw new RopewalkError(`${file}: the field "model_type" is missing. Add it; supported are ${types}.`);
  }
  throw new UnknownFamilyError(
    `${file}: the model_type ${JSON.stringify(type)} is not supported; supported are ${types}.${kind ? ` It is ${kind}: run it with transformers or llama.cpp.` : ''}`,
  );
}

export interface FoundPreset {
  readonly family: Family;
  readonly name: string;
  readonly preset: Preset<CommonConfig>;
}

/**
 * A preset by its name (`gemma-2-2b`), by family and name (`llama/tiny`), or by the family alone, which means its
 * best-known size; with exchanged parts after a plus sign (`llama/tiny+norm=LayerNorm`). Undefined if there is none.
 */
export function findPreset(name: string): FoundPreset | undefined {
  const [plain, changes] = splitName(name);
  if (!changes) return plainPreset(name);
  const found = plainPreset(plain);
  if (!found) return undefined;
  const family = exchange(found.family, changes);
  return { family, name, preset: family.presets[found.name]! };
}

function plainPreset(name: string): FoundPreset | undefined {
  for (const family of families) {
    const own = Object.hasOwn(family.presets, name) ? family.presets[name] : undefined;
    if (own && name !== 'tiny') return { family, name, preset: own };
  }
  const [familyName, presetName] = name.split('/') as [string, string | undefined];
  const wanted = aliases[familyName] ?? familyName;
  const family = families.find((candidate) => candidate.name === wanted);
  if (!family) return undefined;
  const chosen = presetName ?? family.defaultPreset;
  const preset = Object.hasOwn(family.presets, chosen) ? family.presets[chosen] : undefined;
  return preset && { family, name: chosen, preset };
}

/** The names of all presets, in the order of the families. */
export function presetNames(): string[] {
  return families.flatMap((family) =>
    Object.keys(family.presets).map((name) => (name === 'tiny' ? `${family.name}/tiny` : name)),
  );
}

export interface BuiltModel {
  readonly family: Family;
  readonly config: CommonConfig;
  readonly model: CausalLM;
}

/** A model, and the assumptions about its configuration, each a sentence. */
export interface ReadModel extends BuiltModel {
  readonly warnings: readonly string[];
  /** For a multimodal model, of which this is the text part. */
  readonly multimodal?: MultimodalForm;
}

/** A config.json → the family, the checked config and the model. */
export function modelFromConfig(raw: RawConfig, file: string): ReadModel {
  const family = familyOfConfig(raw, file);
  const { multimodal } = family;
  const warnings: string[] = [];
  const warn = (warning: string) => warnings.push(warning);
  if (!multimodal || multimodal.modelType !== raw.model_type) {
    const config = family.readConfig(raw, file, warn);
    return { family, config, model: family.build(config), warnings };
  }
  const config = family.readConfig(textConfig(raw, file), `${file}, text_config`, warn);
  return { family, config, model: family.build(config), warnings, multimodal };
}

/** Fields of a multimodal model's config that also apply to its text part. */
const SHARED_FIELDS = ['tie_word_embeddings', 'bos_token_id', 'eos_token_id', 'pad_token_id'];

function textConfig(raw: RawConfig, file: string): RawConfig {
  const own = raw.text_config;
  if (typeof own !== 'object' || own === null || Array.isArray(own)) {
    throw new RopewalkError(
      `${file}: the field "text_config" must be an object: it describes the text part, which is what runs. Use the original model's config.json.`,
    );
  }
  const shared = SHARED_FIELDS.filter((field) => raw[field] !== undefined);
  return { ...own, ...Object.fromEntries(shared.map((field) => [field, raw[field]])) };
}
