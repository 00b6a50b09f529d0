import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { recoverDirectory } from '../files/atomic.node.ts';
import { errorCode, fileError } from '../files/file-errors.ts';
import { jsonProblem, parsePythonJson } from '../files/json.ts';
import { HEAD_BYTES, inPlaceOf } from '../files/not-weights.ts';
import { joinTokenizerFiles } from '../tokenizer/added-token-files.ts';
import { namedTemplates } from '../tokenizer/named-templates.ts';
import { tokenizerFromOlderFiles } from '../tokenizer/older/files.ts';
import type { Checkpoint, TokenizerFiles } from './checkpoint.ts';
import type { VocabularyCache } from './layouts/vocabularies.node.ts';
import {
  CARRIED_FILES,
  CONFIG_FILE,
  GENERATION_CONFIG_FILE,
  isPlainName,
  TEMPLATES_FOLDER,
  WEIGHTS_FILE,
  WEIGHTS_INDEX,
} from './model-files.ts';
import { quote, show } from './safetensors/header.ts';
import { TensorStore } from './safetensors/tensor-store.node.ts';
import { readTokenizerJson } from './tokenizer-json.node.ts';
import { readTokenizerModel } from './tokenizer-model.node.ts';
import { readVocabularyPair } from './vocabulary-files.node.ts';

/** A checked Hugging Face model directory; its weights are read on demand. */
export interface ModelDirectory extends Checkpoint {
  /** Its tokenizer and prompt files, by name. */
  readonly carriedFiles: readonly string[];
}

/**
 * Opens a Hugging Face model directory: `config.json` with `model.safetensors`, or with the shards that
 * `model.safetensors.index.json` lists. An interrupted save into it is completed first. Close `tensors` when done.
 * @throws RopewalkError naming the file, what is wrong with it and the remedy
 */
export async function openModelDirectory(
  path: string,
  { layoutCache }: { readonly layoutCache?: VocabularyCache } = {},
): Promise<ModelDirectory> {
  await recoverDirectory(path);
  await checkDirectory(path);
  const config = await readJsonObject(path, CONFIG_FILE);
  if (!config) {
    const adapter = await readJsonObject(path, ADAPTER_FILE);
    if (adapter) throw adapterAlone(path, adapter);
    throw new RopewalkError(`${path}: it has no ${CONFIG_FILE}; name the folder of a Hugging Face model`);
  }
  const generationConfig = await readJsonObject(path, GENERATION_CONFIG_FILE);
  const carriedFiles = await listCarriedFiles(path);
  const tensors = await openWeights(path);
  return {
    path,
    configName: `${path}/${CONFIG_FILE}`,
    config,
    ...(generationConfig && { generationConfig }),
    tensors,
    carriedFiles,
    tokenizerFiles: () => readTokenizerFiles(path, layoutCache),
  };
}

/**
 * tokenizer.json (made from tokenizer.model, or from vocab.json and merges.txt, if missing) and tokenizer_config.json,
 * with the tokens that other files add; a chat template in a separate file is merged into the latter.
 */
export async function readTokenizerFiles(
  path: string,
  cache?: VocabularyCache,
): Promise<TokenizerFiles | undefined> {
  const real = await resolveInside(path, 'tokenizer.json');
  const own =
    real === undefined
      ? undefined
      : await readTokenizerJson(real, join(path, 'tokenizer.json'), cache, (bytes) =>
          parseJsonObject(path, 'tokenizer.json', bytes),
        );
  const ownConfig = await readJsonObject(path, 'tokenizer_config.json');
  const made = own ? undefined : await readOlderFiles(path, ownConfig, cache);
  const base = own ?? made?.tokenizer;
  if (!base) return undefined;
  const { tokenizer, config: joined } = joinTokenizerFiles(
    {
      tokenizer: base,
      config: made?.config ?? ownConfig,
      addedTokens: await readJsonObject(path, 'added_tokens.json'),
      specialTokensMap: await readJsonObject(path, 'special_tokens_map.json'),
    },
    path,
  );
  const changed = { tokenizer: tokenizer !== own, config: ownConfig !== undefined && joined !== ownConfig };
  const config = { ...joined };
  const template =
    (await readText(path, 'chat_template.jinja')) ??
    (await readJsonObject(path, 'chat_template.json'))?.chat_template;
  if (template !== undefined) config.chat_template = template;
  const more = await readNamedTemplates(path);
  if (more.length > 0) config.chat_template = joinTemplates(config.chat_template, more);
  return { tokenizer, config, changed: { ...changed, templates: more.length > 0 } };
}

/** The templates in the folder `additional_chat_templates`, named after their files. */
async function readNamedTemplates(path: string): Promise<{ name: string; template: string }[]> {
  const names = await readdir(join(path, TEMPLATES_FOLDER)).catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return [];
    throw fileError(error, 'read', join(path, TEMPLATES_FOLDER));
  });
  const named: { name: string; template: string }[] = [];
  for (const file of names.filter((name) => name.endsWith('.jinja')).sort()) {
    const template = await readText(path, `${TEMPLATES_FOLDER}/${file}`);
    if (template !== undefined) named.push({ name: file.slice(0, -'.jinja'.length), template });
  }
  return named;
}

/**
 * A list of named templates, as in tokenizer_config.json: the default one, and others replacing those of the same
 * name.
 */
function joinTemplates(own: unknown, more: readonly { name: string; template: string }[]): unknown {
  const named = typeof own === 'string' ? new Map([['default', own]]) : namedTemplates(own);
  for (const { name, template } of more) named.set(name, template);
  return [...named].map(([name, template]) => ({ name, template }));
}

/** The tokenizer of a directory without a tokenizer.json, from the files of older libraries. */
async function readOlderFiles(
  path: string,
  config: Record<string, unknown> | undefined,
  cache: VocabularyCache,
) {
  const [model, vocab, merges] = [
    await resolveInside(path, 'tokenizer.model'),
    await resolveInside(path, 'vocab.json'),
    await resolveInside(path, 'merges.txt'),
  ];
  const fileOf = (real: string, name: string) => ({ path: real, name: join(path, name) });
  const common = { config, modelConfig: await readJsonObject(path, CONFIG_FILE) };
  const none = { model: undefined, vocab: undefined, merges: undefined };
  if (model !== undefined) {
    const converted = await readTokenizerModel(model, join(path, 'tokenizer.model'), cache);
    return tokenizerFromOlderFiles({ ...none, ...common, model: converted }, path);
  }
  if (vocab !== undefined && merges !== undefined) {
    const vocabulary = await readVocabularyPair(
      { ...fileOf(vocab, 'vocab.json'), parse: (bytes) => parseJsonObject(path, 'vocab.json', bytes) },
      { ...fileOf(merges, 'merges.txt'), parse: (bytes) => decodeText(path, 'merges.txt', bytes) },
      path,
      cache,
    );
    return tokenizerFromOlderFiles({ ...none, ...common, vocabulary }, path);
  }
  // One without the other is refused by name.
  const files = {
    ...{ ...none, ...common },
    vocab: vocab === undefined ? undefined : {},
    merges: merges === undefined ? undefined : '',
  };
  return tokenizerFromOlderFiles(files, path);
}

/** A directory's tokenizer and prompt files, by name. */
export async function listCarriedFiles(path: string): Promise<string[]> {
  const present: string[] = [];
  for (const name of CARRIED_FILES) if (await resolveInside(path, name)) present.push(name);
  return present;
}

/**
 * The real path of a file in a model directory, or undefined if there is none of that name.
 * @throws RopewalkError for a name or a symbolic link that leads out of the directory: a downloaded directory must not
 *   make us read, and then copy, other files. The Hugging Face cache's own links, from `snapshots/<revision>` to
 *   `blobs`, are followed.
 */
export async function resolveInside(directory: string, name: string): Promise<string | undefined> {
  const inFolder = name.startsWith(`${TEMPLATES_FOLDER}/`) ? name.slice(TEMPLATES_FOLDER.length + 1) : name;
  if (!isPlainName(inFolder)) {
    throw new RopewalkError(`${directory}: ${quote(name)} is not the name of a file in this folder; refused`);
  }
  const path = join(directory, name);
  try {
    const [root, real] = await Promise.all([realpath(directory), realpath(path)]);
    const allowed = [root];
    if (basename(dirname(root)) === 'snapshots') {
      allowed.push(resolve(root, '../../blobs'));
      // From 2.0 on, Python's library stores large blobs once for all models, with links from each model's blobs.
      if (basename(resolve(root, '../..')).startsWith('models--'))
        allowed.push(resolve(root, '../../../blobs'));
    }
    if (!allowed.some((folder) => real.startsWith(folder + sep))) {
      throw new RopewalkError(
        `${path}: it is a symbolic link that leaves its folder; refused: copy the file itself into the folder`,
      );
    }
    const status = await stat(real);
    // Opening a pipe would wait for its other end forever.
    if (!status.isFile()) {
      const what = status.isDirectory() ? 'it is a folder' : 'it is not a regular file';
      throw new RopewalkError(`cannot read ${path}: ${what}; put the file itself there`);
    }
    return real;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw fileError(error, 'read', path);
  }
}

/** Refuses a path that is not a folder. */
export async function checkDirectory(path: string): Promise<void> {
  try {
    if ((await stat(path)).isDirectory()) return;
  } catch (error) {
    throw fileError(error, 'open the model', path);
  }
  throw new RopewalkError(
    `cannot open the model ${path}: it is a file; name the folder that holds its config.json`,
  );
}

/** A JSON file of the directory, which must contain an object; undefined if missing. */
export async function readJsonObject(
  directory: string,
  name: string,
): Promise<Record<string, unknown> | undefined> {
  const bytes = await readFileOf(directory, name);
  return bytes && parseJsonObject(directory, name, bytes);
}

function parseJsonObject(directory: string, name: string, bytes: Uint8Array): Record<string, unknown> {
  const text = decodeText(directory, name, bytes);
  const path = join(directory, name);
  const other = inPlaceOf(new TextEncoder().encode(text.slice(0, HEAD_BYTES)));
  if (other) throw new RopewalkError(`${path}: ${other}.`);
  let json: unknown;
  try {
    json = parsePythonJson(text);
  } catch (error) {
    throw new RopewalkError(`${path}: it is not JSON: ${jsonProblem(error as SyntaxError)}`);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new RopewalkError(`${path}: it does not contain a JSON object`);
  }
  return json as Record<string, unknown>;
}

/** A text file of the directory; undefined if missing. */
async function readText(directory: string, name: string): Promise<string | undefined> {
  const bytes = await readFileOf(directory, name);
  return bytes && decodeText(directory, name, bytes);
}

function decodeText(directory: string, name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new RopewalkError(`${join(directory, name)}: it is not UTF-8 text; save it as UTF-8`);
  }
}

async function readFileOf(directory: string, name: string): Promise<Uint8Array | undefined> {
  const real = await resolveInside(directory, name);
  try {
    return real === undefined ? undefined : await readFile(real);
  } catch (error) {
    throw fileError(error, 'read', join(directory, name));
  }
}

async function openWeights(directory: string): Promise<TensorStore> {
  const single = await resolveInside(directory, WEIGHTS_FILE);
  if (single) return TensorStore.openFiles([{ path: join(directory, WEIGHTS_FILE), real: single }]);
  const index = await readJsonObject(directory, WEIGHTS_INDEX);
  if (!index) throw await noWeights(directory);
  const indexPath = join(directory, WEIGHTS_INDEX);
  const map = index.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new RopewalkError(
      `${indexPath}: it has no "weight_map" object, which lists the file of each weight; get the index that belongs to these files`,
    );
  }
  const weightMap = new Map<string, string>();
  const shards = new Map<string, { path: string; real: string }>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== 'string' || !isPlainName(file)) {
      throw new RopewalkError(
        `${indexPath}: tensor ${quote(tensor)} is listed in ${show(file)}, which is not the name of a ` +
          'file in this folder; refused: do not trust this checkpoint',
      );
    }
    weightMap.set(tensor, join(directory, file));
    if (shards.has(file)) continue;
    const real = await resolveInside(directory, file);
    if (!real) {
      throw new RopewalkError(
        `${indexPath}: the shard ${quote(file)} is missing; download it into the same folder`,
      );
    }
    shards.set(file, { path: join(directory, file), real });
  }
  return TensorStore.openFiles([...shards.values()], { path: indexPath, files: weightMap });
}

/** What peft saves after LoRA training: only the adapter, without the model. */
const ADAPTER_FILE = 'adapter_config.json';

function adapterAlone(path: string, adapter: Record<string, unknown>): RopewalkError {
  const base = adapter.base_model_name_or_path;
  const of = typeof base === 'string' ? ` of ${quote(base)}` : '';
  return new RopewalkError(
    `${path}: it contains an adapter${of} (${ADAPTER_FILE}), not a model; merge it in Python (AutoPeftModelForCausalLM.from_pretrained(…).merge_and_unload().save_pretrained(…)) and name that folder.`,
  );
}

/** The error for missing weights: other formats are named, with the remedy. */
async function noWeights(directory: string): Promise<RopewalkError> {
  const names = await readdir(directory);
  const adapter = await readJsonObject(directory, ADAPTER_FILE);
  if (adapter) return adapterAlone(directory, adapter);
  const pickle = names.find((name) => /^pytorch_model.*\.bin$|\.(pt|pth|ckpt)$/.test(name));
  if (pickle) {
    return new RopewalkError(
      `${directory}: its weights are in ${pickle}, a Python pickle, which can run code and is never opened; ` +
        `convert it to safetensors (in Python: AutoModelForCausalLM.from_pretrained(…).save_pretrained(…))`,
    );
  }
  return new RopewalkError(
    `${directory}: it has neither ${WEIGHTS_FILE} nor ${WEIGHTS_INDEX}; download the weights into it`,
  );
}
