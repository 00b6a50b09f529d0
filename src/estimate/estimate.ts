import { toGguf } from '../checkpoint/gguf/names.ts';
import type { WritableGgmlType } from '../checkpoint/gguf/types.ts';
import { ggufTensorBytes, ggufTypeOf } from '../checkpoint/gguf/writing/writer.ts';
import { RopewalkError } from '../errors.ts';
import type { BuiltModel } from '../families/registry.ts';
import {
  attentionFlopsPerToken,
  cacheBytes,
  cacheBytesPerToken,
  weightFlopsPerToken,
} from '../inspect/costs.ts';
import { partsOf } from '../inspect/model-parts.ts';
import type { Role } from '../inspect/roles.ts';
import type { MemoryMode } from '../training/create-learner.ts';
import { estimateMemory, type MemoryEstimate } from '../training/memory.ts';
import {
  type OptimizerKind,
  type OptimizerStates,
  optimizerRecord,
  optionsOf,
} from '../training/optimizers/create-optimizer.ts';

/** The parts by which parameters are counted. */
export const PARAMETER_PARTS = ['embedding', 'positions', 'attention', 'mlp', 'norms', 'head'] as const;
export type ParameterPart = (typeof PARAMETER_PARTS)[number];

export const FILE_FORMATS = ['float32', 'bfloat16', 'gguf f16', 'gguf q8_0', 'gguf q4_0'] as const;
export type FileFormat = (typeof FILE_FORMATS)[number];

const GGUF_TYPES: Readonly<Record<string, WritableGgmlType>> = {
  'gguf f16': 'F16',
  'gguf q8_0': 'Q8_0',
  'gguf q4_0': 'Q4_0',
};

export const MEMORY_MODES: readonly MemoryMode[] = ['fast', 'recompute', 'light'];

export interface EstimateOptions {
  /** The context length of the estimates, in tokens. */
  readonly context: number;
  /** For fine-tuning: rows per step and tokens per row. Default 1 and 512. */
  readonly batch?: number;
  readonly seq?: number;
  /** Default AdamW. */
  readonly optimizer?: OptimizerKind;
  /** The data type of AdamW's moments. Default float32; refused for an optimizer without this option. */
  readonly states?: OptimizerStates;
}

/** What a model requires, in bytes and operations. A multiply-add counts as two operations. */
export interface Estimate {
  readonly context: number;
  readonly parameters: number;
  /** A tied head is counted as the embedding. */
  readonly parts: Readonly<Record<ParameterPart, number>>;
  /** Sizes of the weight files; null if the family has no such format. A GGUF file includes the vocabulary. */
  readonly files: Readonly<Record<FileFormat, number | null>>;
  readonly cache: {
    /** For each further token, while no window is full. */
    readonly bytesPerToken: number;
    /** At this context, in float32 (which Ropewalk uses) and in bfloat16. */
    readonly float32: number;
    readonly bfloat16: number;
    /** In bfloat16, if every layer kept all tokens. */
    readonly allGlobal: number;
  };
  readonly flops: {
    /** For the last token of the context. */
    readonly weights: number;
    readonly attention: number;
  };
  /** For a step of full fine-tuning. */
  readonly training: Readonly<Record<MemoryMode, MemoryEstimate>>;
}

/**
 * Estimates what a model requires, from its modules and the shapes of its graphs. No weights are needed.
 *
 * @throws RopewalkError for a context beyond the model's positions, or `states` that the optimizer does not have.
 */
export function estimate(built: BuiltModel, options: EstimateOptions): Estimate {
  const { model } = built;
  const { context, batch = 1, seq = 512, optimizer = 'adamw', states } = options;
  for (const [name, tokens] of [
    ['context', context],
    ['rows of training', seq],
  ] as const) {
    if (tokens > model.maxPositions) {
      throw new RopewalkError(
        `a ${name === 'context' ? 'context' : 'row'} of ${tokens} tokens is longer than the model's ${model.maxPositions} positions${model.beyondPositions}; choose a smaller one.`,
      );
    }
  }
  const record = optimizerRecord(optimizer);
  const kept = optionsOf(optimizer, states === undefined ? {} : { states });
  const shape = { batch, seq, packed: true };
  const step = {
    ...{ trains: () => true, accumulate: 1 },
    stateBytes: (dims: readonly number[]) => record.stateBytes(dims, kept),
  };
  const training = Object.fromEntries(
    MEMORY_MODES.map((memory) => [memory, estimateMemory(model, shape, { ...step, memory })]),
  ) as Record<MemoryMode, MemoryEstimate>;
  const bytesPerToken = cacheBytesPerToken(model, 'bfloat16');
  return {
    context,
    parameters: model.parameterCount(),
    parts: partSizes(built),
    files: Object.fromEntries(FILE_FORMATS.map((format) => [format, fileBytes(built, format)])) as Record<
      FileFormat,
      number | null
    >,
    cache: {
      bytesPerToken,
      float32: cacheBytes(model, context, 'float32'),
      bfloat16: cacheBytes(model, context, 'bfloat16'),
      allGlobal: bytesPerToken * context,
    },
    flops: { weights: weightFlopsPerToken(model), attention: attentionFlopsPerToken(model, context) },
    training,
  };
}

function partOf(roles: readonly Role[]): ParameterPart {
  const role = roles[0] ?? 'other';
  if (role === 'token embedding') return 'embedding';
  if (role === 'position encoding') return 'positions';
  if (role.includes('norm')) return 'norms';
  if (role === 'head') return 'head';
  return role === 'gate' || role === 'up' || role === 'down' ? 'mlp' : 'attention';
}

function partSizes({ model }: BuiltModel): Record<ParameterPart, number> {
  const sizes = Object.fromEntries(PARAMETER_PARTS.map((part) => [part, 0])) as Record<ParameterPart, number>;
  const { roles } = partsOf(model);
  const seen = new Set<unknown>();
  for (const [, module] of model.walk()) {
    for (const [, parameter] of module.ownParameters()) {
      if (seen.has(parameter)) continue;
      seen.add(parameter);
      sizes[partOf(roles.get(module) ?? [])] += parameter.size;
    }
  }
  return sizes;
}

/** The header has each tensor's name, shape and offset. */
const HEADER_BYTES_PER_TENSOR = 120;
/** A GGUF file also contains the vocabulary: each token's text with its length, type and score. */
const GGUF_BYTES_PER_TOKEN = 24;

function fileBytes({ family, model }: BuiltModel, format: FileFormat): number | null {
  const parameters = [...model.parameters()];
  const wanted = GGUF_TYPES[format];
  if (!wanted) {
    const each = format === 'float32' ? 4 : 2;
    return parameters.reduce((sum, [, { size }]) => sum + each * size + HEADER_BYTES_PER_TENSOR, 0);
  }
  const form = family.gguf;
  if (!('architecture' in form)) return null;
  let bytes = GGUF_BYTES_PER_TOKEN * model.head.weight.shape[0]!;
  for (const [path, { shape }] of parameters) {
    const place = toGguf(form, path);
    if (!place) return null;
    const stored = place.transform === 'transposed' ? shape.toReversed() : shape;
    bytes += HEADER_BYTES_PER_TENSOR + ggufTensorBytes(stored, ggufTypeOf(place.name, stored, wanted));
  }
  return bytes;
}
