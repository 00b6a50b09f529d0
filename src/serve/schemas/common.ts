import { z } from '@hono/zod-openapi';
import type { SamplingOptions } from '../../generation/sampler.ts';
import type { JsonSchema } from '../../structured/schema/keywords.ts';
import { ApiError } from '../api-error.ts';

/** What all requests have in common. A null field counts as absent. */

const number = (least: number, most: number) => z.number().min(least).max(most).nullish();
const count = (least: number) => z.int().min(least).nullish();

/** Accepted fields without effect here, such as the user's name or accounting. All other unknown fields are refused. */
export const HARMLESS = {
  user: z.string().nullish(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
  store: z.literal(false).nullish(),
  service_tier: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  prompt_cache_key: z.string().nullish(),
} as const;

/** Sampling fields: OpenAI's, and Ropewalk's own. */
export const SAMPLING = {
  temperature: number(0, 100),
  top_p: z.number().gt(0).max(1).nullish(),
  seed: z.int().nullish(),
  frequency_penalty: number(-2, 2),
  presence_penalty: number(-2, 2),
  logit_bias: z.record(z.string().regex(/^\d{1,9}$/), z.number().min(-100).max(100)).nullish(),
  top_k: count(1),
  min_p: number(0, 1),
  repetition_penalty: z.number().gt(0).max(100).nullish(),
} as const;

export const STREAMING = {
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.literal(false).nullish() })
    .nullish(),
} as const;

export const modelName = z.string().min(1).max(512);

export const stopField = z.union([z.string().min(1), z.array(z.string().min(1)).max(16)]).nullish();

export const jsonSchema = z.union([z.boolean(), z.record(z.string(), z.unknown())]);

export const responseFormat = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('text') }),
    z.strictObject({ type: z.literal('json_object') }),
    z.strictObject({
      type: z.literal('json_schema'),
      json_schema: z.strictObject({
        name: z.string().nullish(),
        description: z.string().nullish(),
        schema: jsonSchema.nullish(),
        strict: z.boolean().nullish(),
      }),
    }),
  ])
  .nullish();

export const toolName = z.string().regex(/^[\w.-]{1,64}$/);

/** Removes null, which counts as absent. */
export function given<T>(value: T | null | undefined): T | undefined {
  return value ?? undefined;
}

type Sampling = z.infer<z.ZodObject<typeof SAMPLING>>;

export function samplingOf(fields: Sampling): SamplingOptions {
  const options = {
    temperature: given(fields.temperature),
    topP: given(fields.top_p),
    topK: given(fields.top_k),
    minP: given(fields.min_p),
    repetitionPenalty: given(fields.repetition_penalty),
    frequencyPenalty: given(fields.frequency_penalty),
    presencePenalty: given(fields.presence_penalty),
    logitBias: given(fields.logit_bias) as Record<number, number> | undefined,
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

export function stopOf(stop: z.infer<typeof stopField>): readonly string[] | undefined {
  const all = typeof stop === 'string' ? [stop] : (stop ?? []);
  return all.length > 0 ? all : undefined;
}

export function schemaOf(format: z.infer<typeof responseFormat>): JsonSchema | undefined {
  if (!format || format.type === 'text') return undefined;
  if (format.type === 'json_object') return { type: 'object' } as JsonSchema;
  const { schema } = format.json_schema;
  if (schema === null || schema === undefined) {
    throw new ApiError(400, 'response_format.json_schema has no schema; give one, or ask for json_object.', {
      param: 'response_format.json_schema.schema',
    });
  }
  return schema as JsonSchema;
}

/**
 * Checks a body against a schema.
 *
 * @throws ApiError naming the field and the problem.
 */
export function checked<S extends z.ZodType>(schema: S, body: unknown): z.infer<S> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issue = deepest(result.error.issues[0]!);
  const path = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const names = issue.keys.map((key) => (path ? `${path}.${key}` : key)).map((key) => key.slice(0, 100));
    const [first] = names;
    throw new ApiError(
      400,
      `${names.join(', ')}: not supported here, and it could change the answer; leave it out.`,
      {
        param: first ?? null,
        code: 'unknown_parameter',
      },
    );
  }
  throw new ApiError(400, `${path || 'the body'}: ${issue.message}`, {
    param: path || null,
    code: 'invalid_value',
  });
}

/** Of a union's alternatives, the one that got farthest gives the error. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  const inner = issue.errors.flatMap((issues) => issues.map((one) => deepest(one)));
  const best = inner.reduce((a, b) => (b.path.length > a.path.length ? b : a), inner[0]!);
  if (inner.every(({ path }) => path.length === 0)) {
    return { ...issue, message: inner.map(({ message }) => message).join('; or ') };
  }
  return { ...best, path: [...issue.path, ...best.path] };
}
