import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BPE, byteLevelPreTokenizer, metaspacePreTokenizer, Tokenizer, Unigram } from 'tokenizers';

/** The kind of a trained tokenizer. */
export type Kind = 'byte-level BPE' | 'SentencePiece-style BPE' | 'Unigram';

type Json = Record<string, unknown> & { model: Record<string, unknown> };

/**
 * A tokenizer trained by the Rust library with its trainer's defaults: 30,000 tokens for BPE, 8,000 for Unigram. It is
 * stored in a folder and reused.
 */
export function trainedTokenizer(kind: Kind, folder: string, texts: readonly string[]): Json {
  const kept = join(folder, `trained ${kind}.json`);
  if (existsSync(kept)) return JSON.parse(readFileSync(kept, 'utf8')) as Json;
  const corpus = texts.map((text, index) => {
    const path = join(folder, `corpus-${index}.txt`);
    writeFileSync(path, text);
    return path;
  });
  const tokenizer = new Tokenizer(kind === 'Unigram' ? Unigram.empty() : BPE.empty());
  tokenizer.setPreTokenizer(
    kind === 'byte-level BPE' ? byteLevelPreTokenizer(false) : metaspacePreTokenizer(),
  );
  tokenizer.train(corpus);
  tokenizer.save(kept);
  const json = JSON.parse(readFileSync(kept, 'utf8')) as Json;
  if (kind === 'Unigram') addUnknown(json);
  if (kind === 'SentencePiece-style BPE') likeGemma(json);
  writeFileSync(kept, JSON.stringify(json));
  return json;
}

/** By default the trainer's vocabulary has no unknown token, but other texts contain other characters. */
function addUnknown({ model }: Json): void {
  const vocab = model.vocab as [string, number][];
  model.unk_id = vocab.push(['<unk>', 0]) - 1;
}

/** Like Gemma: spaces are `▁`, a whole text is one piece, and characters without a token are spelled in bytes. */
function likeGemma(json: Json): void {
  const { model } = json;
  const vocab = model.vocab as Record<string, number>;
  for (let byte = 0; byte < 256; byte++) {
    vocab[`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`] = Object.keys(vocab).length;
  }
  model.byte_fallback = true;
  json.normalizer = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  json.pre_tokenizer = null;
  json.decoder = {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
    ],
  };
}
