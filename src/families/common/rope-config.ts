import { type RopeScaling, yarnMagnitude } from '../../nn/rope-scaling.ts';
import { ConfigReader, type RawConfig } from '../config.ts';

export interface RopeConfig {
  readonly rope_theta: number;
  readonly rope_scaling: RopeScaling | null;
}

/** The default base of the classes in transformers. */
const DEFAULT_THETA = 10_000;

/**
 * RoPE settings, read as transformers 5 does: `rope_scaling` if it is not empty, else `rope_parameters`; the base
 * from that object, else from `rope_theta` next to it, else the class's default, with a warning.
 */
export function readRope(reader: ConfigReader): RopeConfig {
  const fields = ['rope_scaling', 'rope_parameters'].filter((name) => saysAnything(reader, name));
  const [read, other] = fields.map((field) => readObject(reader, objectIn(reader, field)));
  if (read && other && JSON.stringify(read) !== JSON.stringify(other)) {
    reader.warn(
      `${reader.file}: "rope_scaling" and "rope_parameters" differ; "rope_scaling" is used, as in transformers.`,
    );
  }
  const { rope_theta = DEFAULT_THETA, rope_scaling } = read ?? readObject(reader, undefined);
  if (read?.rope_theta === undefined && !reader.has('rope_theta')) {
    reader.warn(
      `${reader.file}: it has no "rope_theta"; ${DEFAULT_THETA} is used, as in transformers. Add the original model's value if it differs (500000 for Llama 3).`,
    );
  }
  return { rope_theta, rope_scaling };
}

/** The settings in an object; without a base, the one next to it. */
function readObject(reader: ConfigReader, inner: ConfigReader | undefined) {
  const holder = inner?.has('rope_theta') ? inner : reader;
  return {
    rope_theta: holder.optionalNumber('rope_theta') ?? undefined,
    rope_scaling: inner ? readScaling(inner, reader) : null,
  };
}

/** Python treats an empty object as false. */
function saysAnything(reader: ConfigReader, field: string): boolean {
  const value = reader.value(field);
  return value !== undefined && value !== null && JSON.stringify(value) !== '{}';
}

function objectIn(reader: ConfigReader, field: string): ConfigReader {
  const value = reader.value(field);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return reader.fail(field, 'must be an object');
  }
  const nested = ['full_attention', 'sliding_attention'].find((type) => Object.hasOwn(value, type));
  if (nested !== undefined) {
    reader.fail(field, `differs between kinds of layers ("${nested}"), which is not supported`);
  }
  return new ConfigReader(value as RawConfig, `${reader.file}, ${field}`, undefined, reader.warn);
}

const TYPES = {
  default: 'default',
  linear: 'linear',
  dynamic: 'dynamic',
  llama3: 'llama3',
  yarn: 'yarn',
} as const;

function readScaling(inner: ConfigReader, outer: ConfigReader): RopeScaling | null {
  // Old files call the field "type".
  const field = inner.has('rope_type') || !inner.has('type') ? 'rope_type' : 'type';
  const type = inner.choice(field, TYPES, 'default');
  if (type === 'default') return null;
  for (const reader of [inner, outer]) reader.mustBe('partial_rotary_factor', [1]);
  const factor = inner.has('factor') || type !== 'yarn' ? inner.number('factor') : undefined;
  // The outer field takes precedence, as in models that were published that way.
  const length = outer.has('original_max_position_embeddings') ? outer : inner;
  const positions = outer.count('max_position_embeddings');
  const original = length.count('original_max_position_embeddings', positions);
  switch (type) {
    case 'linear':
      return factor === 1 ? null : { rope_type: type, factor: factor! };
    case 'dynamic':
      return { rope_type: type, factor: factor! };
    case 'llama3':
      return {
        ...{ rope_type: type, factor: factor! },
        low_freq_factor: inner.number('low_freq_factor'),
        high_freq_factor: inner.number('high_freq_factor'),
        original_max_position_embeddings: original,
      };
    case 'yarn':
      return readYarn(inner, factor ?? positions / original, original);
  }
}

function readYarn(reader: ConfigReader, factor: number, original: number): RopeScaling {
  const [scale, scaleAll] = [reader.optionalNumber('mscale'), reader.optionalNumber('mscale_all_dim')];
  const usual =
    scale !== null && scaleAll !== null
      ? yarnMagnitude(factor, scale) / yarnMagnitude(factor, scaleAll)
      : yarnMagnitude(factor);
  return {
    ...{ rope_type: 'yarn', factor },
    original_max_position_embeddings: original,
    attention_factor: reader.number('attention_factor', usual),
    beta_fast: reader.number('beta_fast', 32),
    beta_slow: reader.number('beta_slow', 1),
    truncate: reader.flag('truncate', true),
  };
}

/** RoPE settings of global and of local layers, if they differ. */
export interface TwoRopeConfig {
  readonly global: RopeConfig;
  readonly local: RopeConfig;
}

/**
 * Gemma 3's two bases: `rope_parameters` with `full_attention` and `sliding_attention`, or the hub's `rope_theta`,
 * `rope_local_base_freq` and `rope_scaling`, which applies to global layers.
 *
 * @param defaults the bases for files that name none.
 */
export function readTwoRopes(
  reader: ConfigReader,
  defaults: { readonly global: number; readonly local: number },
): TwoRopeConfig {
  const given = reader.value('rope_parameters');
  const nested = (kind: string): ConfigReader | undefined => {
    if (given === undefined || given === null) return undefined;
    const value = (given as Record<string, unknown>)[kind];
    if (typeof value !== 'object' || value === null) {
      return reader.fail(
        'rope_parameters',
        'must be an object with "full_attention" and "sliding_attention"',
      );
    }
    return new ConfigReader(value as RawConfig, `${reader.file}, rope_parameters`, undefined, reader.warn);
  };
  const of = (kind: string, field: string, base: number): RopeConfig => {
    const inner = nested(kind);
    const scales = kind === 'full_attention' && saysAnything(reader, 'rope_scaling');
    const scaling = scales ? objectIn(reader, 'rope_scaling') : inner;
    return {
      rope_theta: inner?.has('rope_theta') ? inner.number('rope_theta') : reader.number(field, base),
      rope_scaling: scaling ? readScaling(scaling, reader) : null,
    };
  };
  return {
    global: of('full_attention', 'rope_theta', defaults.global),
    local: of('sliding_attention', 'rope_local_base_freq', defaults.local),
  };
}

/** Writes both forms, like {@link writeRope}. */
export function writeTwoRopes(ropes: TwoRopeConfig): Record<string, unknown> {
  const form = ({ rope_theta, rope_scaling }: RopeConfig) => ({
    rope_type: 'default',
    ...rope_scaling,
    rope_theta,
  });
  return {
    rope_theta: ropes.global.rope_theta,
    rope_local_base_freq: ropes.local.rope_theta,
    rope_scaling: ropes.global.rope_scaling,
    rope_parameters: { full_attention: form(ropes.global), sliding_attention: form(ropes.local) },
  };
}

/** Writes both forms, so that transformers 4 and 5 read the same settings. */
export function writeRope({ rope_theta, rope_scaling }: RopeConfig): Record<string, unknown> {
  return {
    rope_theta,
    rope_scaling,
    rope_parameters: rope_scaling ? { rope_theta, ...rope_scaling } : { rope_theta, rope_type: 'default' },
  };
}
