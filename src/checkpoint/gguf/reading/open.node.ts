import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { RopewalkError } from '../../../errors.ts';
import { FileSource } from '../../../files/file.node.ts';
import { stampsOf } from '../../../files/source.ts';
import { type BpeTables, tablesOf } from '../../../tokenizer/tables/bpe-tables.ts';
import { isObject } from '../../../tokenizer/tokenizer-schema.ts';
import type { Checkpoint } from '../../checkpoint.ts';
import { keptVocabulary, type VocabularyCache } from '../../layouts/vocabularies.node.ts';
import { CONFIG_FILE } from '../../model-files.ts';
import { FileRows } from '../../rows.node.ts';
import { MAGIC } from '../types.ts';
import { openGgufCheckpoint } from './checkpoint.ts';
import { openGguf, openGgufSplit, splitNames } from './reader.ts';
import { StoredValues } from './stored-values.ts';

const TOKENS_KEY = 'tokenizer.ggml.tokens';

/**
 * The GGUF file that a path refers to: the file itself, whatever its name (Ollama's blobs have no extension), or the
 * only model in a folder that is not a Hugging Face directory. For a split model it is the first part.
 *
 * @throws RopewalkError for a folder with several GGUF models.
 */
export async function ggufIn(path: string): Promise<string | undefined> {
  const stats = await stat(path).catch(() => undefined);
  if (stats?.isFile()) return /\.gguf$/i.test(path) || (await hasMagic(path)) ? path : undefined;
  if (!stats?.isDirectory()) return undefined;
  const names = await readdir(path).catch((): string[] => []);
  if (names.includes(CONFIG_FILE)) return undefined;
  const files = names.filter((name) => /\.gguf$/i.test(name)).sort();
  const models = files.filter((name) => (splitNames(name)?.[0] ?? name) === name);
  if (models.length > 1) {
    throw new RopewalkError(
      `${path}: it has several GGUF models (${models.slice(0, 4).join(', ')}${models.length > 4 ? ', …' : ''}); name the file.`,
    );
  }
  return models[0] === undefined ? undefined : join(path, models[0]);
}

/** Whether a file begins with GGUF's magic bytes. */
async function hasMagic(path: string): Promise<boolean> {
  const file = await open(path).catch(() => undefined);
  if (!file) return false;
  try {
    const { bytesRead, buffer } = await file.read(new Uint8Array(4), 0, 4, 0);
    return bytesRead === 4 && new DataView(buffer.buffer).getUint32(0, true) === MAGIC;
  } catch {
    return false; // Opening the file will report the reason.
  } finally {
    await file.close();
  }
}

/**
 * Opens a GGUF model, including all parts of a split one.
 *
 * @param options.layoutCache how the tables of a large vocabulary are kept
 */
export async function openGgufModel(
  path: string,
  { layoutCache }: { readonly layoutCache?: VocabularyCache } = {},
): Promise<Checkpoint> {
  const parts = splitNames(basename(path))?.map((name) => join(dirname(path), name));
  const sources: FileSource[] = [];
  try {
    for (const part of parts ?? [path]) sources.push(await FileSource.open(part));
    const file = parts ? await openGgufSplit(sources) : await openGguf(sources[0]!);
    const { metadata } = file;
    const tokens = metadata instanceof StoredValues ? metadata.packed(TOKENS_KEY) : undefined;
    const open = (kept?: BpeTables) => openGgufCheckpoint(file, (_, place) => new FileRows(place), kept);
    const source = {
      path,
      // A few are not packed.
      mostTokens: tokens?.length ?? 0,
      stamps: () => stampsOf(sources),
      facts: 'gguf',
    };
    let made: Checkpoint | undefined;
    const kept = await keptVocabulary(source, layoutCache, async () => {
      made = await open();
      const tokenizer = (await made.tokenizerFiles())?.tokenizer;
      const tables = isObject(tokenizer) ? tablesOf(tokenizer.model) : undefined;
      return tables && { text: '', tables };
    });
    return made ?? (await open(kept?.tables));
  } catch (error) {
    for (const source of sources) await source.close();
    throw error;
  }
}
