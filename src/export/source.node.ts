import { readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { RopewalkError } from '../errors.ts';
import type { BuiltModel } from '../families/registry.ts';
import { errorCode, fileError } from '../files/file-errors.ts';
import type { CarriedFile } from './tokenizer-files.node.ts';

/** An opened model as the source of an export; `openModel` returns one. */
export interface ExportSource extends BuiltModel {
  readonly checkpoint: Pick<Checkpoint, 'path' | 'config' | 'generationConfig' | 'tokenizerFiles'> & {
    readonly tensors: Pick<Checkpoint['tensors'], 'readFloat32'>;
  };
  /** Each parameter's name in the checkpoint, by its path. */
  readonly names: ReadonlyMap<string, string>;
  /** Tensors of the checkpoint that are not in the model. */
  readonly unused: readonly string[];
  /** Ids that end a text. */
  readonly stopTokens: readonly number[];
}

/** The result of an export. */
export interface ExportResult {
  /** Their paths below the folder, with sizes in bytes. */
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  /** Distinct parameters of the model. */
  readonly parameters: number;
  /** What the format could not preserve, each a sentence. */
  readonly notes: readonly string[];
}

/** Called as weights are written, with the bytes so far and the total. */
export type ExportProgress = (bytes: number, totalBytes: number) => void;

/** Fields about a config's origin or another program's storage, which do not apply to an export. */
const DROPPED_FIELDS = ['_name_or_path', 'transformers_version', 'auto_map', 'quantization_config'];

/** `config.json` of an export: the checkpoint's own fields, with the family's in the form that every version reads. */
export function exportedConfig({ family, config, checkpoint }: ExportSource): Record<string, unknown> {
  const own = Object.entries(checkpoint.config).filter(([name]) => !DROPPED_FIELDS.includes(name));
  return { ...Object.fromEntries(own), ...family.writeConfig(config) };
}

/** `generation_config.json` of an export: the checkpoint's, or one made from the ids in its config. */
export function exportedGenerationConfig({
  config,
  stopTokens,
  checkpoint,
}: ExportSource): Record<string, unknown> {
  if (checkpoint.generationConfig) return { ...checkpoint.generationConfig };
  const { bos_token_id, pad_token_id } = config;
  return {
    _from_model_config: true,
    ...(bos_token_id !== null && { bos_token_id }),
    ...(stopTokens.length > 0 && { eos_token_id: stopTokens.length === 1 ? stopTokens[0] : [...stopTokens] }),
    ...(pad_token_id !== null && { pad_token_id }),
  };
}

/** What no export of this model can preserve. */
export function commonNotes({ unused, checkpoint }: ExportSource, files: readonly CarriedFile[]): string[] {
  const notes: string[] = [];
  if (unused.length > 0) {
    const few = unused.slice(0, 3).join(', ');
    notes.push(
      `${unused.length} tensors in ${checkpoint.path} are not part of the model and are omitted: ${few}${unused.length > 3 ? ', …' : ''}.`,
    );
  }
  if (!files.some(({ name }) => name === 'tokenizer.json')) {
    notes.push(`${checkpoint.path} has no tokenizer.json, so the export has none either.`);
  }
  return notes;
}

/**
 * Refuses to overwrite the source model, or a folder with files that such an export does not write.
 * @param isOurs whether this export writes a file, given its path below the folder (with `/`)
 */
export async function checkTarget(
  path: string,
  { checkpoint }: ExportSource,
  isOurs: (name: string) => boolean,
): Promise<void> {
  const target = await realpath(path).catch(() => undefined);
  if (target === undefined) return;
  if (target === (await realpath(checkpoint.path))) {
    throw new RopewalkError(`cannot export into ${path}: it is the source model; choose a new folder.`);
  }
  const foreign = (await filesBelow(path)).filter((name) => !isOurs(name));
  if (foreign.length > 0) {
    throw new RopewalkError(
      `cannot export into ${path}: that would remove ${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ', …' : ''}, ` +
        'which this export does not write; choose a new folder.',
    );
  }
}

/** Files below a folder, as sorted paths with `/`; empty folders and links count as files. */
async function filesBelow(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(path, sep).length).replaceAll(sep, '/'))
      .sort();
  } catch (error) {
    // A file in place of the folder: the writer reports it.
    if (errorCode(error) === 'ENOTDIR') return [];
    throw fileError(error, 'write', path);
  }
}

/** The result of a complete export at `path`. */
export async function resultOf(
  path: string,
  { model }: ExportSource,
  notes: readonly string[],
): Promise<ExportResult> {
  const files: { name: string; bytes: number }[] = [];
  for (const name of await filesBelow(path)) {
    files.push({ name, bytes: (await stat(join(path, name))).size });
  }
  return { files, parameters: model.parameterCount(), notes };
}
