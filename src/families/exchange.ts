import { RopewalkError } from '../errors.ts';
import type { ActivationKind } from '../nn/mlp.ts';
import type { NormSettings } from '../nn/norm.ts';
import { type CommonConfig, ConfigReader, type RawConfig } from './config.ts';
import {
  type DecoderNames,
  type DecoderParts,
  defineFamily,
  type LayerParts,
  type NormPlace,
} from './decoder.ts';
import type { Family } from './family.ts';

/** `model_type` of models with exchanged parts, so that no other program takes them for models of the family. */
export const EXCHANGED_TYPE = 'ropewalk';

const PLACES: Readonly<Record<string, readonly NormPlace[]>> = {
  before: ['attentionNorm', 'mlpNorm'],
  after: ['attentionPostNorm', 'mlpPostNorm'],
  both: ['attentionNorm', 'attentionPostNorm', 'mlpNorm', 'mlpPostNorm'],
  none: [],
};

/** Class names of activations in printed trees. */
const ACTIVATIONS: Readonly<Record<ActivationKind, string>> = {
  relu: 'ReLU',
  gelu: 'GELUTanh',
  silu: 'SiLUActivation',
};

/** Parts of a family to exchange. Parts that are left out stay as they are in the family. */
export interface PartChanges {
  /** The kind of every norm. */
  readonly norm?: 'LayerNorm' | 'RMSNorm';
  /** Where the layers' norms are: before attention and MLP, after them, both, or nowhere. The final norm stays. */
  readonly layerNorms?: 'before' | 'after' | 'both' | 'none';
  readonly positions?: 'sinusoidal' | 'learned' | 'rotary' | 'none';
  /** Key and value heads; a divisor of the query heads. */
  readonly kvHeads?: number;
  /** The number of keys that a query sees in local layers, including its own; null makes every layer global. */
  readonly window?: number | null;
  /** With a window: every n-th layer is global. By default none is. */
  readonly globalEvery?: number;
  readonly headNorm?: boolean;
  readonly activation?: ActivationKind;
  readonly gated?: boolean;
  readonly attentionCap?: number | null;
  readonly finalCap?: number | null;
  /** Whether the embedding is also the head. */
  readonly tied?: boolean;
}

/**
 * A family with some of its parts exchanged, to be trained, compared and drawn like any other.
 *
 * @throws RopewalkError, when a model is built, for parts that do not fit together.
 */
export function exchange(family: Family, changes: PartChanges): Family {
  const described = Object.entries(changes).map(([part, value]) => `${part}=${String(value)}`);
  if (described.length === 0) return family;
  const with_ = (config: CommonConfig): CommonConfig => ({
    ...config,
    ...(changes.tied !== undefined && { tie_word_embeddings: changes.tied }),
  });
  return defineFamily<CommonConfig>({
    ...family,
    name: `${family.name}+${described.join(',')}`,
    title: `${family.title} with ${described.join(', ')}`,
    modelType: EXCHANGED_TYPE,
    architecture: 'RopewalkForCausalLM',
    training: { data: 'none', method: 'none', source: 'not a published model' },
    presets: Object.fromEntries(
      Object.entries(family.presets).map(([name, preset]) => [name, { config: with_(preset.config) }]),
    ),
    readConfig: (raw, file) => with_(family.readConfig({ ...raw, model_type: family.modelType }, file)),
    writeConfig: (config) => ({
      ...family.writeConfig(config),
      architectures: ['RopewalkForCausalLM'],
      model_type: EXCHANGED_TYPE,
      base_model_type: family.modelType,
      exchanged_parts: { ...changes },
    }),
    parts: (config) => exchangeParts(family.parts(with_(config)), changes),
    names: exchangedNames(family.names, changes),
    gguf: { none: 'it runs published families, not models with exchanged parts' },
    transformersJs: false,
  });
}

function exchangedNames(names: DecoderNames, { activation }: PartChanges): DecoderNames {
  return {
    ...names,
    model: { ...names.model, type: 'RopewalkForCausalLM' },
    ...(activation && { activation: ACTIVATIONS[activation] }),
  };
}

/** @throws RopewalkError for parts that do not fit together. */
export function exchangeParts(parts: DecoderParts, changes: PartChanges): DecoderParts {
  const { positions, finalCap, tied } = changes;
  const headDim = parts.layers[0]!.attention.headDim;
  if (positions === 'rotary' && headDim % 2 !== 0) {
    throw new RopewalkError(`rotary positions rotate pairs, but a head has ${headDim} dimensions.`);
  }
  if (positions === 'sinusoidal' && parts.width % 2 !== 0) {
    throw new RopewalkError(`sinusoidal positions need an even width, but the width is ${parts.width}.`);
  }
  const rope =
    positions === undefined ? undefined : positions === 'rotary' ? { theta: 10000, scaling: null } : null;
  return {
    ...parts,
    ...(positions && {
      positions: positions === 'sinusoidal' || positions === 'learned' ? positions : null,
    }),
    layers: parts.layers.map((layer, i) => {
      const changed = exchangeLayer(layer, changes, i, parts.norm);
      return rope === undefined ? changed : { ...changed, rope };
    }),
    norm: exchangeNorm(parts.norm, changes),
    head: {
      ...parts.head,
      ...(finalCap !== undefined && { softcap: finalCap }),
      ...(tied !== undefined && { tied }),
    },
  };
}

function exchangeLayer(
  layer: LayerParts,
  changes: PartChanges,
  index: number,
  last: NormSettings,
): LayerParts {
  const { layerNorms, kvHeads, window, globalEvery, headNorm, activation, gated, attentionCap } = changes;
  const { heads } = layer.attention;
  if (kvHeads !== undefined && heads % kvHeads !== 0) {
    throw new RopewalkError(`${kvHeads} key heads do not divide ${heads} query heads.`);
  }
  if (globalEvery !== undefined && typeof window !== 'number') {
    throw new RopewalkError('globalEvery sets which layers have no window; set window too.');
  }
  const own = Object.values(layer.norms)[0] ?? last;
  const places = layerNorms ? PLACES[layerNorms]! : (Object.keys(layer.norms) as NormPlace[]);
  const isGlobal = globalEvery !== undefined && (index + 1) % globalEvery === 0;
  const norm = exchangeNorm(own, changes);
  const { headNorm: oldHeadNorm, ...attention } = layer.attention;
  const newHeadNorm = headNorm === undefined ? oldHeadNorm : headNorm ? own : undefined;
  return {
    ...layer,
    norms: Object.fromEntries(places.map((place) => [place, norm])),
    attention: {
      ...attention,
      ...(newHeadNorm && { headNorm: exchangeNorm(newHeadNorm, changes) }),
      ...(kvHeads !== undefined && { kvHeads }),
      ...(window !== undefined && { window: isGlobal ? null : window }),
      ...(attentionCap !== undefined && { softcap: attentionCap }),
    },
    mlp: {
      ...layer.mlp,
      ...(activation && { activation }),
      ...(gated !== undefined && { gated }),
    },
  };
}

function exchangeNorm(norm: NormSettings, { norm: kind }: PartChanges): NormSettings {
  return kind === undefined || kind === norm.kind ? norm : { ...norm, kind, weightOffset: 0 };
}

/** Reads the changes by name, from a config.json or a command line. */
export function readChanges(raw: unknown, file: string): PartChanges {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    throw new RopewalkError(`${file}: "exchanged_parts" must be an object.`);
  }
  const reader = new ConfigReader(raw as RawConfig, file);
  const own = <T extends string>(field: string, values: readonly T[]): T | undefined =>
    reader.has(field)
      ? reader.choice(field, Object.fromEntries(values.map((value) => [value, value])) as Record<string, T>)
      : undefined;
  const nullable = (field: string, read: () => number) =>
    field in (raw as object) ? (reader.value(field) === null ? null : read()) : undefined;
  const flag = (field: string) => (reader.has(field) ? reader.flag(field, false) : undefined);
  const count = (field: string) => (reader.has(field) ? reader.count(field) : undefined);
  const all: Record<keyof PartChanges, unknown> = {
    norm: own('norm', ['LayerNorm', 'RMSNorm']),
    layerNorms: own('layerNorms', ['before', 'after', 'both', 'none']),
    positions: own('positions', ['sinusoidal', 'learned', 'rotary', 'none']),
    kvHeads: count('kvHeads'),
    window: nullable('window', () => reader.count('window')),
    globalEvery: count('globalEvery'),
    headNorm: flag('headNorm'),
    activation: own('activation', Object.keys(ACTIVATIONS) as ActivationKind[]),
    gated: flag('gated'),
    attentionCap: nullable('attentionCap', () => reader.number('attentionCap')),
    finalCap: nullable('finalCap', () => reader.number('finalCap')),
    tied: flag('tied'),
  };
  const unknown = Object.keys(raw).find((field) => !(field in all));
  if (unknown !== undefined) {
    throw new RopewalkError(
      `${file}: there is no part "${unknown}" to exchange; the parts are ${Object.keys(all).join(', ')}.`,
    );
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as PartChanges;
}

/** `norm=LayerNorm,kvHeads=2` as changes. */
export function parseChanges(text: string): PartChanges {
  const value = (word: string): unknown => {
    if (word === 'null' || word === 'true' || word === 'false') return JSON.parse(word) as unknown;
    return word !== '' && Number.isFinite(Number(word)) ? Number(word) : word;
  };
  const pairs = text.split(',').map((pair) => {
    const [part, word, ...rest] = pair.split('=').map((side) => side.trim());
    if (!part || word === undefined || rest.length > 0) {
      throw new RopewalkError(
        `${JSON.stringify(pair)} does not exchange a part; write part=value, such as norm=LayerNorm.`,
      );
    }
    return [part, value(word)];
  });
  return readChanges(Object.fromEntries(pairs), `the parts ${JSON.stringify(text)}`);
}
