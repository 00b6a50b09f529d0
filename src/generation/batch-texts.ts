import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type BatchSettings, GenerationBatch, optionsOfEach } from './batch.ts';
import type { Decoder } from './decoder.ts';
import { encodePrompt, generateText } from './generate-text.ts';
import { type TextOptions, TextStream } from './text-stream.ts';

/** A piece of one of several texts. */
export interface TextPiece {
  /** The index of its prompt, from 0. */
  readonly sequence: number;
  readonly text: string;
}

/**
 * Continues several texts at once: like `generateText` for each, and like `generateBatch` for all.
 *
 * @param options for all prompts, or one for each.
 * @returns pieces as they are generated; those of one text joined are the new text.
 */
export async function* generateTexts(
  decoder: Decoder,
  tokenizer: Tokenizer,
  prompts: readonly string[],
  options: TextOptions | readonly TextOptions[],
  settings: BatchSettings = {},
): AsyncGenerator<TextPiece, void> {
  const all = optionsOfEach(prompts.length, options);
  if (prompts.length > 1 && all.some(({ constraint }) => constraint)) {
    throw new RopewalkError(
      'a constraint applies to one text; use jsonSchema, which is compiled for each text separately.',
    );
  }
  if (!decoder.runsBatches) {
    for (const [sequence, prompt] of prompts.entries()) {
      for await (const text of generateText(decoder, tokenizer, prompt, all[sequence]!))
        yield { sequence, text };
    }
    return;
  }
  const batch = new GenerationBatch(decoder, settings);
  const streams = prompts.map((prompt, i) => {
    const stream = new TextStream(tokenizer, all[i]!);
    batch.add(encodePrompt(tokenizer, prompt, decoder.model.config.bos_token_id), stream.options);
    return stream;
  });
  while (batch.busy) {
    for (const { sequence, id } of await batch.step()) {
      const stream = streams[sequence]!;
      const text = stream.push(id);
      if (text) yield { sequence, text };
      if (stream.ended) batch.end(sequence);
    }
  }
  for (const [sequence, stream] of streams.entries()) {
    const text = stream.flush();
    if (text) yield { sequence, text };
  }
}
