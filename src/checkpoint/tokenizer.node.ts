import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { recoverDirectory } from '../files/atomic.node.ts';
import { fileError } from '../files/file-errors.ts';
import { loadTokenizer } from '../tokenizer/tokenizer.node.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import { readTokenizerFiles } from './directory.node.ts';
import { ggufIn, openGgufModel } from './gguf/reading/open.node.ts';
import type { VocabularyCache } from './layouts/vocabularies.node.ts';
import { readTokenizerJson } from './tokenizer-json.node.ts';
import { readTokenizerModel } from './tokenizer-model.node.ts';

/**
 * The tokenizer of a model, with its chat template, from a Hugging Face directory (which needs no weights), a GGUF
 * file, or a tokenizer.json.
 *
 * @param options.layoutCache how a large vocabulary is kept for later starts, in the cache of layouts; false keeps
 *   nothing and uses nothing. By default as the environment says.
 * @throws RopewalkError naming the path, if there is none.
 */
export async function openTokenizer(
  path: string,
  { layoutCache }: { readonly layoutCache?: VocabularyCache } = {},
): Promise<Tokenizer> {
  const gguf = await ggufIn(path);
  if (gguf !== undefined) {
    const checkpoint = await openGgufModel(gguf, { layoutCache });
    try {
      return fromFiles(await checkpoint.tokenizerFiles(), path);
    } finally {
      await checkpoint.tensors.close();
    }
  }
  await recoverDirectory(path);
  try {
    if ((await stat(path)).isFile()) {
      if (path.endsWith('.model'))
        return loadTokenizer(path, { model: await readTokenizerModel(path, path, layoutCache) });
      const isVocabulary = ['vocab.json', 'merges.txt'].includes(basename(path));
      const read = isVocabulary
        ? undefined
        : await readTokenizerJson(path, path, layoutCache, () => undefined);
      return loadTokenizer(path, { json: read });
    }
  } catch (error) {
    throw fileError(error, 'read the tokenizer of', path);
  }
  return fromFiles(await readTokenizerFiles(path, layoutCache), path);
}

function fromFiles(
  files: { readonly tokenizer: unknown; readonly config: Record<string, unknown> } | undefined,
  path: string,
): Tokenizer {
  if (files) return Tokenizer.fromJSON(files.tokenizer, files.config, `the tokenizer of ${path}`);
  throw new RopewalkError(
    `${path}: it has no tokenizer.json, which is needed to tokenize text; name a model that has one`,
  );
}
