import { splitNames } from '../checkpoint/gguf/reading/reader.ts';
import {
  CARRIED_FILES,
  CONFIG_FILE,
  GENERATION_CONFIG_FILE,
  isPlainName,
  WEIGHTS_FILE,
  WEIGHTS_INDEX,
} from '../checkpoint/model-files.ts';
import { RopewalkError } from '../errors.ts';

/** Which of a model's files are wanted. */
export interface Choice {
  /** Without shards: only the index says which they are. */
  readonly files: readonly string[];
  /** The index among `files`, whose shards are wanted too. */
  readonly index?: string;
  /** The GGUF file that is the whole model, or its first part; `files` are then its parts. */
  readonly gguf?: string;
}

export interface Wish {
  /** A GGUF file by name. */
  readonly file?: string | undefined;
  /** false: everything but the weights. */
  readonly weights?: boolean | undefined;
}

/**
 * Picks the files that a model needs out of all that a repository has: its configuration, its tokenizer and its
 * weights in safetensors, or one GGUF file. Pickles are never among them: opening one runs what is in it.
 * @param id what messages call the model
 * @throws RopewalkError where there is nothing to pick, or more than one GGUF file to pick from
 */
export function chooseFiles(paths: Iterable<string>, id: string, { file, weights }: Wish): Choice {
  const all = new Set(paths);
  const ggufs = [...all].filter((path) => path.toLowerCase().endsWith('.gguf'));
  if (file !== undefined) {
    if (!file.toLowerCase().endsWith('.gguf')) {
      throw new RopewalkError(
        `${id}: "${file}" is not a GGUF file; only those are chosen by name: leave it out for the safetensors weights`,
      );
    }
    if (all.has(file)) return chooseGguf(file, all, id);
    const choices =
      ggufs.length > 0 ? `it has ${ggufs.join(', ')}` : 'it has no GGUF files; leave the name out';
    throw new RopewalkError(`${id} has no file "${file}"; ${choices}`);
  }
  const files = [CONFIG_FILE, GENERATION_CONFIG_FILE, ...CARRIED_FILES].filter((name) => all.has(name));
  const safetensors = all.has(WEIGHTS_FILE) || all.has(WEIGHTS_INDEX);
  if (all.has(CONFIG_FILE) && weights === false) return { files };
  if (all.has(CONFIG_FILE) && all.has(WEIGHTS_FILE)) return { files: [...files, WEIGHTS_FILE] };
  if (all.has(CONFIG_FILE) && safetensors) return { files: [...files, WEIGHTS_INDEX], index: WEIGHTS_INDEX };
  // mmproj files are a vision model's other half, not a language model.
  const models = ggufs.filter(
    (path) => !/(^|\/)mmproj[^/]*$/i.test(path) && (splitNames(path)?.[0] ?? path) === path,
  );
  if (models.length === 1) return chooseGguf(models[0]!, all, id);
  if (models.length > 1) {
    throw new RopewalkError(`${id} has several GGUF files; choose one, as ${id}:FILE: ${models.join(', ')}`);
  }
  throw new RopewalkError(nothing(id, all, safetensors));
}

/** A GGUF file, with all of its parts where it is one part of a model. */
function chooseGguf(file: string, all: ReadonlySet<string>, id: string): Choice {
  const parts = splitNames(file) ?? [file];
  const missing = parts.find((part) => !all.has(part));
  if (missing !== undefined) {
    throw new RopewalkError(
      `${id}: ${file} is one of ${parts.length} parts, and ${missing} is not there; choose another file or revision`,
    );
  }
  return { files: parts, gguf: parts[0]! };
}

function nothing(id: string, all: ReadonlySet<string>, safetensors: boolean): string {
  if (safetensors) return `${id}: it has weights, but no ${CONFIG_FILE}; this is not a model that can be run`;
  const pickle = [...all].find((path) => /\.(bin|pt|pth|ckpt)$/.test(path));
  if (pickle) {
    return (
      `${id}: its weights are in ${pickle}, a Python pickle, which can run code and is never downloaded; ` +
      'choose a model with safetensors or GGUF weights (the pages of many models offer a converted revision, refs/pr/N)'
    );
  }
  return `${id}: it has neither ${WEIGHTS_FILE}, ${WEIGHTS_INDEX} nor a GGUF file; choose another model`;
}

/**
 * The shards that a `model.safetensors.index.json` names, each once.
 * @param name what messages call the index
 * @throws RopewalkError for an index that names anything but files beside it
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
        `${name}: it names the shard ${JSON.stringify(shard)}, which is not a safetensors file beside it; ` +
          'refused: do not trust this model',
      );
    }
    shards.add(shard);
  }
  return [...shards];
}
