import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { writeFileAtomic } from '../files/atomic.node.ts';
import type { CorpusResult } from '../report/results.ts';
import { encodeCorpusAsync, splitCorpus } from '../text/corpus.ts';
import { mobyDick } from '../text/moby-dick.node.ts';
import { fitBigram, fitUnigram, meanNegativeLogLikelihood } from '../text/ngram.ts';
import { bpeTokenizerConfig, trainBpe } from '../tokenizer/bpe-trainer.ts';
import { loadTokenizer } from '../tokenizer/tokenizer.node.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { JobFolder } from './folder.node.ts';
import type { JobSettings } from './settings.ts';

export interface Corpus {
  readonly result: CorpusResult;
  readonly tokenizer: Tokenizer;
  /** Saved with every model. */
  readonly tokenizerFiles: readonly { readonly name: string; readonly data: string }[];
  /** Token ids: all `[tokens]`, `[trainingTokens]` and `[validationTokens]`. */
  readonly tokens: Int32Array;
  readonly training: Int32Array;
  readonly validation: Int32Array;
}

const TOKENIZER_FILE = 'tokenizer.json';
const TOKENS_FILE = 'tokens.i32';
const RESULT_FILE = 'corpus.json';

/** The tokenized novel: stored parts are read, missing ones are created. */
export async function prepareCorpus(
  folder: JobFolder,
  settings: JobSettings,
  onProgress: (what: 'tokenizer' | 'encoding', done: number, total: number) => void,
): Promise<Corpus> {
  const { vocabSize } = settings;
  const { validation: share } = settings.training;
  const stored = await folder.read<CorpusResult>(RESULT_FILE);
  const tokens = stored && (await readTokens(folder, stored.identity));
  if (stored && tokens) {
    const tokenizer = loadTokenizer(folder.file(TOKENIZER_FILE));
    return {
      result: stored,
      tokenizer,
      tokenizerFiles: filesOf(tokenizer),
      tokens,
      ...splitCorpus(tokens, share),
    };
  }
  const text = await mobyDick();
  const json = trainBpe([text], {
    vocabSize,
    onProgress: ({ size, target }) => onProgress('tokenizer', size, target),
  });
  await setImmediate(); // Ctrl-C is handled between two long pieces of work.
  const tokenizer = Tokenizer.fromJSON(json, bpeTokenizerConfig(json));
  const ids = await encodeCorpusAsync(tokenizer, text, {
    onProgress: (done, total) => onProgress('encoding', done, total),
  });
  const { training, validation } = splitCorpus(ids, share);
  const result: CorpusResult = {
    title: 'Moby-Dick; or, The Whale (Herman Melville, 1851)',
    characters: text.length,
    vocabSize: tokenizer.vocabSize,
    identity: identityOf(ids),
    tokens: ids.length,
    trainingTokens: training.length,
    validationTokens: validation.length,
    unigramLoss: meanNegativeLogLikelihood(fitUnigram(training, tokenizer.vocabSize), validation),
    bigramLoss: meanNegativeLogLikelihood(fitBigram(training, tokenizer.vocabSize), validation),
  };
  const files = filesOf(tokenizer);
  for (const { name, data } of files) await writeFileAtomic(folder.file(name), data);
  await writeFileAtomic(folder.file(TOKENS_FILE), bytesOf(ids));
  await folder.write(RESULT_FILE, result);
  return { result, tokenizer, tokenizerFiles: files, tokens: ids, training, validation };
}

function filesOf(tokenizer: Tokenizer) {
  const json = tokenizer.toJSON();
  return [
    { name: TOKENIZER_FILE, data: JSON.stringify(json) },
    { name: 'tokenizer_config.json', data: `${JSON.stringify(bpeTokenizerConfig(json), null, 2)}\n` },
  ];
}

/** Undefined if they are missing or differ from those of the result: then they are created again. */
async function readTokens(folder: JobFolder, identity: string): Promise<Int32Array | undefined> {
  const file = folder.file(TOKENS_FILE);
  if (!existsSync(file) || !existsSync(folder.file(TOKENIZER_FILE))) return undefined;
  const bytes = await readFile(file);
  const tokens = new Int32Array(bytes.length / 4 - ((bytes.length / 4) % 1));
  new Uint8Array(tokens.buffer).set(bytes.subarray(0, tokens.byteLength));
  return identityOf(tokens) === identity ? tokens : undefined;
}

function bytesOf(tokens: Int32Array): Uint8Array {
  return new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
}

function identityOf(tokens: Int32Array): string {
  return createHash('sha256').update(bytesOf(tokens)).digest('hex');
}
