import { RopewalkError } from '../errors.ts';
import { jsonProblem, parsePythonJson } from '../files/json.ts';
import { HEAD_BYTES, inPlaceOf } from '../files/not-weights.ts';
import type { ByteSource } from '../files/source.ts';
import { joinTokenizerFiles } from '../tokenizer/added-token-files.ts';
import { tokenizerFromOlderFiles } from '../tokenizer/older/files.ts';
import { scanTokenizer } from '../tokenizer/tables/scan-tokenizer.ts';
import type { Checkpoint, RowReader, StoredTensor, TensorReader, TokenizerFiles } from './checkpoint.ts';
import { CONFIG_FILE, GENERATION_CONFIG_FILE, WEIGHTS_FILE, WEIGHTS_INDEX } from './model-files.ts';
import { openSafetensors, type SafetensorsFile } from './safetensors/safetensors-file.ts';

/** The largest JSON or text file that is read as a whole: tokenizers of 256,000 tokens have 35 MB. */
const MAX_TEXT_BYTES = 256 * 2 ** 20;

/**
 * Opens a Hugging Face model from its files by name, wherever their bytes come from: a page's file picker, its server.
 *
 * @param name of the model in messages.
 * @throws RopewalkError naming the file, what is wrong with it and the remedy.
 */
export async function openModelFiles(
  files: ReadonlyMap<string, ByteSource>,
  name: string,
): Promise<Checkpoint> {
  const config = await readObject(files, CONFIG_FILE);
  if (!config) throw new RopewalkError(`${name}: there is no ${CONFIG_FILE}; ${remedyFor(files)}.`);
  const generationConfig = await readObject(files, GENERATION_CONFIG_FILE);
  const shards = [...files.keys()].filter((file) => file.endsWith('.safetensors'));
  const index = await readObject(files, WEIGHTS_INDEX);
  const wanted = index ? shardsOf(index, files) : shards.filter((file) => file === WEIGHTS_FILE);
  if (wanted.length === 0) {
    throw new RopewalkError(
      `${name}: there is neither ${WEIGHTS_FILE} nor ${WEIGHTS_INDEX}; ${remedyFor(files)}.`,
    );
  }
  const opened: SafetensorsFile[] = [];
  for (const file of wanted) opened.push(await openSafetensors(files.get(file)!));
  return {
    path: name,
    configName: `${name}/${CONFIG_FILE}`,
    config,
    ...(generationConfig && { generationConfig }),
    tensors: new NamedTensors(opened, name),
    tokenizerFiles: () => readTokenizer(files, name, config),
  };
}

function shardsOf(index: Record<string, unknown>, files: ReadonlyMap<string, ByteSource>): string[] {
  const map = index.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new RopewalkError(
      `${WEIGHTS_INDEX}: it has no "weight_map" object, which lists the file of each weight; get the index that belongs to these files.`,
    );
  }
  const names = [...new Set(Object.values(map))];
  const missing = names.find((file) => typeof file !== 'string' || !files.has(file));
  if (missing !== undefined) {
    throw new RopewalkError(
      `${WEIGHTS_INDEX}: the file ${JSON.stringify(missing)} that it names is missing; provide all files of the model's folder.`,
    );
  }
  return names as string[];
}

function remedyFor(files: ReadonlyMap<string, ByteSource>): string {
  const pickle = [...files.keys()].find((file) => /\.(bin|pt|pth|ckpt)$/.test(file));
  if (pickle !== undefined)
    return `${pickle} may be a Python pickle, which can run code and is never opened; convert it to safetensors`;
  return "provide the folder of a Hugging Face model, with all of its files, or a model's .gguf file";
}

async function readTokenizer(
  files: ReadonlyMap<string, ByteSource>,
  name: string,
  modelConfig: Record<string, unknown>,
): Promise<TokenizerFiles | undefined> {
  const own = await readTokenizerJson(files);
  const config = await readObject(files, 'tokenizer_config.json');
  const older = own
    ? undefined
    : tokenizerFromOlderFiles(
        {
          model: await readWhole(files, 'tokenizer.model'),
          vocab: await readObject(files, 'vocab.json'),
          merges: await readText(files, 'merges.txt'),
          config,
          modelConfig,
        },
        name,
      );
  const tokenizer = own ?? older?.tokenizer;
  if (!tokenizer) return undefined;
  const joined = joinTokenizerFiles(
    {
      tokenizer,
      config: older?.config ?? config,
      addedTokens: await readObject(files, 'added_tokens.json'),
      specialTokensMap: await readObject(files, 'special_tokens_map.json'),
    },
    name,
  );
  return { tokenizer: joined.tokenizer, config: { ...joined.config } };
}

/** A large vocabulary is read without making an object of it. */
async function readTokenizerJson(files: ReadonlyMap<string, ByteSource>) {
  const bytes = await readWhole(files, 'tokenizer.json');
  if (!bytes) return undefined;
  const text = decodeText('tokenizer.json', bytes);
  return scanTokenizer(bytes) ?? parseObject('tokenizer.json', text);
}

async function readWhole(files: ReadonlyMap<string, ByteSource>, file: string) {
  const source = files.get(file);
  if (!source) return undefined;
  if (source.size > MAX_TEXT_BYTES) {
    throw new RopewalkError(`${source.name}: it has ${source.size} bytes, more than such a file has.`);
  }
  return source.read(0, source.size);
}

async function readText(files: ReadonlyMap<string, ByteSource>, file: string): Promise<string | undefined> {
  const bytes = await readWhole(files, file);
  return bytes && decodeText(file, bytes);
}

function decodeText(file: string, bytes: Uint8Array): string {
  const other = inPlaceOf(bytes.subarray(0, HEAD_BYTES));
  if (other) throw new RopewalkError(`${file}: ${other}.`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new RopewalkError(`${file}: it is not UTF-8 text; save it as UTF-8.`);
  }
}

async function readObject(
  files: ReadonlyMap<string, ByteSource>,
  file: string,
): Promise<Record<string, unknown> | undefined> {
  const text = await readText(files, file);
  return text === undefined ? undefined : parseObject(file, text);
}

function parseObject(file: string, text: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = parsePythonJson(text);
  } catch (error) {
    throw new RopewalkError(`${file}: it is not JSON: ${jsonProblem(error as SyntaxError)}`);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new RopewalkError(`${file}: it does not contain a JSON object.`);
  }
  return json as Record<string, unknown>;
}

/** The tensors of all files of a model. */
class NamedTensors implements TensorReader {
  readonly #name: string;
  readonly #files = new Map<string, SafetensorsFile>();

  constructor(files: readonly SafetensorsFile[], name: string) {
    this.#name = name;
    for (const file of files) for (const tensor of file.tensors.keys()) this.#files.set(tensor, file);
  }

  names(): string[] {
    return [...this.#files.keys()];
  }

  has(name: string): boolean {
    return this.#files.has(name);
  }

  info(name: string): StoredTensor {
    const file = this.#file(name);
    const { dtype, shape, offset, byteLength } = file.entry(name);
    return { dtype, shape, file: file.name, offset, byteLength, verbatim: false };
  }

  async readFloat32(name: string): Promise<Float32Array> {
    return this.#file(name).readFloat32(name);
  }

  async readFloat32Into(name: string, target: Float32Array): Promise<void> {
    return this.#file(name).readFloat32Into(name, target);
  }

  async readFloat32Part(name: string, start: number, target: Float32Array): Promise<void> {
    return this.#file(name).readFloat32Part(name, start, target);
  }

  async openRows(name: string): Promise<RowReader> {
    const [rows, width] = this.info(name).shape as [number, number];
    const values = await this.readFloat32(name);
    return {
      rows,
      width,
      read: (row, target, at) => target.set(values.subarray(row * width, (row + 1) * width), at),
      close() {},
    };
  }

  async close(): Promise<void> {
    for (const file of new Set(this.#files.values())) await file.close();
  }

  #file(name: string): SafetensorsFile {
    const file = this.#files.get(name);
    if (!file) throw new RopewalkError(`${this.#name}: it has no tensor ${JSON.stringify(name)}.`);
    return file;
  }
}
