import { RopewalkError } from '../errors.ts';

/** A JSON object whose fields are not known in advance (normalizer, pre-tokenizer, decoder …). */
export type JsonObject = { [key: string]: unknown };

/** One entry of `added_tokens` in Hugging Face's tokenizer.json. */
export interface AddedTokenJson {
  id: number;
  content: string;
  single_word?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
  normalized?: boolean;
  special?: boolean;
}

/** Hugging Face's tokenizer.json, as far as Ropewalk reads it; other fields are preserved. */
export interface TokenizerJson {
  version?: string;
  added_tokens: AddedTokenJson[];
  normalizer: JsonObject | null;
  pre_tokenizer: JsonObject | null;
  post_processor: JsonObject | null;
  decoder: JsonObject | null;
  model: JsonObject & { type: string };
  [key: string]: unknown;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Checks an object parsed from tokenizer.json and fills in the fields that old files omit.
 *
 * @param value the parsed JSON; it is not changed
 * @param source the name in error messages, usually a file
 * @throws RopewalkError naming the field, if Ropewalk cannot run this tokenizer
 */
export function parseTokenizerJson(value: unknown, source: string): TokenizerJson {
  const fail = (problem: string): never => {
    throw new RopewalkError(`${source}: ${problem}`);
  };
  if (!isObject(value)) return fail('not a tokenizer.json: the top level is not a JSON object');
  const { model } = value;
  if (!isObject(model)) return fail('not a tokenizer.json: the field "model" is missing');
  if (model.type !== undefined && typeof model.type !== 'string')
    fail('the field "model.type" is not a string');
  const added = value.added_tokens ?? [];
  if (!Array.isArray(added)) return fail('the field "added_tokens" is not an array');
  for (const [index, token] of added.entries()) {
    if (!isObject(token) || typeof token.content !== 'string' || !isTokenId(token.id)) {
      fail(`the field "added_tokens[${index}]" needs a text "content" and a whole number "id"`);
    }
  }
  const section = (name: string): JsonObject | null => {
    const field = value[name] ?? null;
    if (field !== null && !isObject(field)) fail(`the field "${name}" is neither an object nor null`);
    checkDepth(field, name, fail);
    return field as JsonObject | null;
  };
  return {
    ...value,
    added_tokens: added as AddedTokenJson[],
    normalizer: section('normalizer'),
    pre_tokenizer: section('pre_tokenizer'),
    post_processor: section('post_processor'),
    decoder: section('decoder'),
    // Files from before 2020 omit the type; a BPE model is the one with merges.
    model: (model.type === undefined && 'merges' in model
      ? { type: 'BPE', ...model }
      : model) as TokenizerJson['model'],
  };
}

function isTokenId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}

/** The content of a field such as `bos_token`, which is a string or an object with "content". */
export function tokenContent(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isObject(value) && typeof value.content === 'string' ? value.content : undefined;
}

/** Maximum nesting of steps (Sequence): real files have two levels. */
const MAX_STEP_DEPTH = 8;

/** Refuses components nested so deeply that traversing them would overflow the stack. */
function checkDepth(step: unknown, path: string, fail: (problem: string) => never, depth = 0): void {
  if (typeof step !== 'object' || step === null) return;
  if (depth > 2 * MAX_STEP_DEPTH) fail(`the field "${path.slice(0, 80)}…" is nested too deeply`);
  for (const [name, value] of Object.entries(step)) checkDepth(value, `${path}.${name}`, fail, depth + 1);
}
