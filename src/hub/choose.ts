import { splitNames } from '../checkpoint/gguf/reading/reader.ts';
import {
  CARRIED_FILES,
  CONFIG_FILE,
  GENERATION_CONFIG_FILE,
  isPlainName,
  TEMPLATES_FOLDER,
  WEIGHTS_FILE,
  WEIGHTS_INDEX,
} from '../checkpoint/model-files.ts';
import { RopewalkError } from '../errors.ts';

const TEMPLATE = new RegExp(`^${TEMPLATES_FOLDER}/[^/]+\\.jinja$`);

/** The files of a model to download. */
export interface Choice {
  /** Without shards, which only the index lists. */
  readonly files: readonly string[];
  /** The index among `files`, whose shards are also needed. */
  readonly index?: string;
  /** The GGUF file that is the whole model, or its first part; `files` are then its parts. */
  readonly gguf?: string;
}

export interface Wish {
  /** A GGUF file by name, or by quantization (`Q4_K_M`, case-insensitive). */
  readonly file?: string | undefined;
  /** false: everything but the weights. */
  readonly weights?: boolean | undefined;
}

/** A GGUF file to choose from; a split one counts once, under its first part's name. */
export interface GgufFile {
  readonly path: string;
  /** Total bytes of all its parts; undefined if the hub does not say. */
  readonly size: number | undefined;
}

/** A repository has several GGUF files, and none is named. */
export class SeveralFilesError extends RopewalkError {
  constructor(
    message: string,
    readonly files: readonly GgufFile[],
  ) {
    super(message);
  }
}

/**
 * Chooses the files that a model needs from those in a repository: its configuration, its tokenizer and its
 * safetensors weights, or one GGUF file. Pickles are never chosen: opening one runs code.
 * @param id the model's name in messages
 * @throws RopewalkError if there is nothing to choose; SeveralFilesError if there is more than one GGUF file
 */
export function chooseFiles(
  listed: Iterable<{ readonly path: string; readonly size?: number | undefined }>,
  id: string,
  { file, weights }: Wish,
): Choice {
  const sizes = new Map([...listed].map(({ path, size }) => [path, size]));
  const all: ReadonlySet<string> = new Set(sizes.keys());
  const ggufs = ggufFiles(sizes);
  if (file !== undefined) return chooseGguf(fileNamed(file, all, ggufs, id), all, id);
  const files = [CONFIG_FILE, GENERATION_CONFIG_FILE, ...CARRIED_FILES].filter((name) => all.has(name));
  files.push(...[...all].filter((path) => TEMPLATE.test(path)).sort());
  const safetensors = all.has(WEIGHTS_FILE) || all.has(WEIGHTS_INDEX);
  if (all.has(CONFIG_FILE) && weights === false) return { files };
  if (all.has(CONFIG_FILE) && all.has(WEIGHTS_FILE)) return { files: [...files, WEIGHTS_FILE] };
  if (all.has(CONFIG_FILE) && safetensors) return { files: [...files, WEIGHTS_INDEX], index: WEIGHTS_INDEX };
  // mmproj files are the other half of a vision model, not a language model.
  const models = ggufs.filter(({ path }) => !/(^|\/)mmproj[^/]*$/i.test(path));
  if (models.length === 1) return chooseGguf(models[0]!.path, all, id);
  if (models.length > 1) throw several(`${id} has several GGUF files`, models, id);
  throw new RopewalkError(nothing(id, all, safetensors));
}

/** The GGUF files to choose from, each with the total bytes of its parts. */
function ggufFiles(sizes: ReadonlyMap<string, number | undefined>): GgufFile[] {
  return [...sizes.keys()]
    .filter((path) => path.toLowerCase().endsWith('.gguf') && (splitNames(path)?.[0] ?? path) === path)
    .map((path) => {
      const parts = (splitNames(path) ?? [path]).map((part) => sizes.get(part));
      const size = parts.every((part) => part !== undefined)
        ? parts.reduce<number>((sum, part) => sum + part!, 0)
        : undefined;
      return { path, size };
    });
}

/** The file with a name or a quantization. */
function fileNamed(file: string, all: ReadonlySet<string>, ggufs: readonly GgufFile[], id: string): string {
  const isGguf = file.toLowerCase().endsWith('.gguf');
  if (isGguf && all.has(file)) return file;
  const fitting = isGguf ? [] : ggufs.filter(({ path }) => hasQuantization(path, file));
  if (fitting.length === 1) return fitting[0]!.path;
  if (fitting.length > 1) throw several(`${id} has several GGUF files of ${file}`, fitting, id);
  if (!isGguf && all.has(file)) {
    throw new RopewalkError(
      `${id}: "${file}" is not a GGUF file; only GGUF files are chosen by name: omit it to get the safetensors weights`,
    );
  }
  const choices = ggufs.length > 0 ? `it has ${listed(ggufs)}` : 'it has no GGUF files; omit the name';
  throw new RopewalkError(`${id} has no ${isGguf ? 'file' : 'GGUF file of'} "${file}"; ${choices}`);
}

/** Whether a GGUF file's name ends with a quantization: `model-Q4_K_M.gguf`, `model.q4_k_m-00001-of-00002.gguf`. */
export function hasQuantization(path: string, quantization: string): boolean {
  const name = path.replace(/^.*\//, '').replace(/(?:-\d{5}-of-\d{5})?\.gguf$/i, '');
  const [given, wanted] = [name.toLowerCase(), quantization.toLowerCase()];
  return given.endsWith(wanted) && (given === wanted || /[-._]$/.test(given.slice(0, -wanted.length)));
}

function several(what: string, files: readonly GgufFile[], id: string): SeveralFilesError {
  return new SeveralFilesError(
    `${what}; choose one with ${id}:FILE or ${id}:Q4_K_M: ${listed(files)}`,
    files,
  );
}

function listed(files: readonly GgufFile[]): string {
  return files
    .map(({ path, size }) => (size === undefined ? path : `${path} (${readableSize(size)})`))
    .join(', ');
}

/** `640 kB`, `4.9 GB` */
export function readableSize(bytes: number): string {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** The first of many names. */
export function someOf(names: readonly string[]): string {
  return names.length > 4 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
}

/** A GGUF file, with all of its parts if it is split. */
function chooseGguf(file: string, all: ReadonlySet<string>, id: string): Choice {
  const parts = splitNames(file) ?? [file];
  const missing = parts.find((part) => !all.has(part));
  if (missing !== undefined) {
    throw new RopewalkError(
      `${id}: ${file} is one of ${parts.length} parts, and ${missing} is missing; choose another file or revision`,
    );
  }
  return { files: parts, gguf: parts[0]! };
}

function nothing(id: string, all: ReadonlySet<string>, safetensors: boolean): string {
  if (safetensors) return `${id}: it has weights, but no ${CONFIG_FILE}; it is not a model that can be run`;
  const pickle = [...all].find((path) => /\.(bin|pt|pth|ckpt)$/.test(path));
  if (pickle) {
    return (
      `${id}: its weights are in ${pickle}, a Python pickle, which can run code and is never downloaded; ` +
      'choose a model with safetensors or GGUF weights (many models have a converted revision, refs/pr/N)'
    );
  }
  return `${id}: it has neither ${WEIGHTS_FILE}, ${WEIGHTS_INDEX} nor a GGUF file; choose another model`;
}

/**
 * The shards listed in a `model.safetensors.index.json`, each once.
 * @param name of the index in messages
 * @throws RopewalkError for an index that names anything but files in its folder
 */
export function shardsOf(index: unknown, name: string): string[] {
  const map =
    typeof index === 'object' && index !== null && 'weight_map' in index ? index.weight_map : undefined;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new RopewalkError(
      `${name}: it has no "weight_map" object; the model is damaged: choose another revision`,
    );
  }
  const shards = new Set<string>();
  for (const shard of Object.values(map) as unknown[]) {
    if (typeof shard !== 'string' || !isPlainName(shard) || !shard.endsWith('.safetensors')) {
      throw new RopewalkError(
        `${name}: it names the shard ${JSON.stringify(shard)}, which is not a safetensors file in the same folder; ` +
          'refused: do not trust this model',
      );
    }
    shards.add(shard);
  }
  return [...shards];
}
