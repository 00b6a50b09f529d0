import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { listCarriedFiles, resolveInside } from '../checkpoint/directory.node.ts';
import { fileError } from '../files/file-errors.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { ExportSource } from './source.node.ts';

/** A file that is exported unchanged. */
export interface CarriedFile {
  readonly name: string;
  readonly data: string | Uint8Array;
}

const TOKENIZER = 'tokenizer.json';
const TOKENIZER_CONFIG = 'tokenizer_config.json';
/** Each would override a list of named templates in tokenizer_config.json. */
const TEMPLATES = ['chat_template.jinja', 'chat_template.json'];

/**
 * The tokenizer's files: unchanged if the checkpoint's folder has them, otherwise made from its format's metadata.
 * Tokens that only other files in the folder add are merged into tokenizer.json, for programs that read nothing else;
 * several chat templates become a list in tokenizer_config.json, which transformers reads like their folder. A
 * tokenizer.json without a tokenizer_config.json gets one, since transformers.js requires both.
 * @param templateInConfig whether a chat template in a separate file must also be in tokenizer_config.json, the only
 *   place where transformers.js looks for it
 */
export async function tokenizerFilesOf(
  source: ExportSource,
  { templateInConfig = false } = {},
): Promise<CarriedFile[]> {
  const { path } = source.checkpoint;
  const parsed = await source.checkpoint.tokenizerFiles();
  const files = (await stat(path)).isDirectory() ? await carriedFiles(path) : [];
  if (!parsed) return files;
  const has = (name: string) => files.some((file) => file.name === name);
  if (!has(TOKENIZER)) {
    const made = [jsonFile(TOKENIZER, parsed.tokenizer), jsonFile(TOKENIZER_CONFIG, parsed.config)];
    return [...files.filter(({ name }) => name !== TOKENIZER_CONFIG), ...made];
  }
  const { tokenizer, config, changed } = parsed;
  const apart = TEMPLATES.some(has);
  const made: CarriedFile[] = [];
  if (changed?.tokenizer) made.push(jsonFile(TOKENIZER, tokenizer));
  if (!has(TOKENIZER_CONFIG)) {
    made.push(jsonFile(TOKENIZER_CONFIG, { ...smallConfig(source, tokenizer), ...config }));
  } else if (changed?.config || changed?.templates || (templateInConfig && apart)) {
    made.push(jsonFile(TOKENIZER_CONFIG, config));
  }
  const replaced = [...made.map(({ name }) => name), ...(changed?.templates ? TEMPLATES : [])];
  return [...files.filter(({ name }) => !replaced.includes(name)), ...made];
}

/** The carried files with a changed tokenizer, its configuration and perhaps a chat template in them. */
export function withTokenizer(
  carried: readonly CarriedFile[],
  tokenizer: unknown,
  config: unknown,
  template?: string,
): CarriedFile[] {
  const own = [
    jsonFile(TOKENIZER, tokenizer),
    jsonFile(TOKENIZER_CONFIG, config),
    ...(template !== undefined ? [{ name: 'chat_template.jinja', data: template }] : []),
  ];
  // Older forms of the same would contradict them.
  const stale = [
    'special_tokens_map.json',
    'added_tokens.json',
    'tokenizer.model',
    'vocab.json',
    'merges.txt',
  ];
  const dropped = [
    ...own.map(({ name }) => name),
    ...stale,
    ...(template !== undefined ? ['chat_template.json'] : []),
  ];
  return [...carried.filter(({ name }) => !dropped.includes(name)), ...own];
}

/** Plain JSON: a vocabulary may contain words that are the names of float fields elsewhere. */
function jsonFile(name: string, value: unknown): CarriedFile {
  return { name, data: `${JSON.stringify(value, null, 2)}\n` };
}

async function carriedFiles(directory: string): Promise<CarriedFile[]> {
  const files: CarriedFile[] = [];
  for (const name of await listCarriedFiles(directory)) {
    const real = await resolveInside(directory, name);
    if (!real) continue;
    try {
      files.push({ name, data: await readFile(real) });
    } catch (error) {
      throw fileError(error, 'read', join(directory, name));
    }
  }
  return files;
}

/** Only says that tokenizer.json is to be used unchanged, and which tokens the model's config names. */
function smallConfig({ config, model }: ExportSource, tokenizer: unknown): Record<string, unknown> {
  const named = (field: string, id: number | null | undefined) => {
    const content = id === null || id === undefined ? undefined : addedToken(tokenizer, id);
    return content === undefined ? {} : { [field]: content };
  };
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...named('bos_token', config.bos_token_id),
    ...named('eos_token', config.eos_token_id[0]),
    ...named('pad_token', config.pad_token_id),
    // transformers.js uses this field, rather than tokenizer.json, to decide whether a prompt begins with one.
    ...(beginsTexts(tokenizer, config.bos_token_id) && { add_bos_token: true }),
    clean_up_tokenization_spaces: false,
    model_max_length: model.maxPositions,
  };
}

function beginsTexts(tokenizer: unknown, bos: number | null): boolean {
  return bos !== null && Tokenizer.fromJSON(tokenizer, undefined, TOKENIZER).encode('a')[0] === bos;
}

function addedToken(tokenizer: unknown, id: number): string | undefined {
  const added = isObject(tokenizer) ? tokenizer.added_tokens : undefined;
  const token = Array.isArray(added) ? added.find((entry) => isObject(entry) && entry.id === id) : undefined;
  return isObject(token) && typeof token.content === 'string' ? token.content : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
