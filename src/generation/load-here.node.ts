import { openModel, tokenizerOf } from '../checkpoint/load.node.ts';
import { RopewalkError } from '../errors.ts';
import type { PullProgress } from '../hub/pull.node.ts';
import { resolveModel } from '../hub/resolve.node.ts';
import { createDecoder, type DecoderOptions } from './decoder.node.ts';
import { LocalModel } from './local-model.ts';
import { openTaps } from './taps/taps.node.ts';

/** Everything but the functions and the signal can be cloned, so that it reaches another thread. */
export interface LoadOptions extends Omit<DecoderOptions, 'engine'> {
  /**
   * Memory for keys and values of recent texts, in bytes: a text that begins as one of them runs only what is new. By
   * default none. With it activations are exact unless they are given, and `'int8'` is refused.
   */
  readonly prefixCacheBytes?: number | undefined;
  /** Most completions (`complete`) that run at one time, default 8; others wait. */
  readonly sequences?: number | undefined;
  /** Called while a model is downloaded from the hub. */
  readonly onDownload?: ((progress: PullProgress) => void) | undefined;
  /** Stops downloading and reading weights: loading rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * As `load`, but the model runs in the caller's thread: each run blocks it, and its decoder is at hand for programs that
 * want logits, caches or constraints of their own.
 *
 * @throws RopewalkError naming the file and the field or tensor that is missing or wrong.
 */
export async function loadHere(idOrPath: string, options: LoadOptions = {}): Promise<LocalModel> {
  const { signal, onProgress, onDownload, prefixCacheBytes, sequences, ...settings } = options;
  signal?.throwIfAborted();
  const path = await resolveModel(idOrPath, { signal, onProgress: onDownload });
  const opened = await openModel(path);
  try {
    const { family, stopTokens, sampling, warnings } = opened;
    const tokenizer = await tokenizerOf(opened.checkpoint);
    if (!tokenizer) {
      throw new RopewalkError(
        `${idOrPath}: it has no tokenizer.json, which is needed to tokenize text; add it.`,
      );
    }
    const watched = (share: number) => {
      signal?.throwIfAborted();
      onProgress?.(share);
    };
    // What is kept of a text was computed in other pieces than it would be without.
    const activations = settings.activations ?? (prefixCacheBytes ? 'exact' : undefined);
    const decoder = await createDecoder(opened, { ...settings, activations, onProgress: watched });
    const said = { sequences, stopTokens, sampling, warnings, openTaps: () => openTaps(path, settings) };
    return new LocalModel({ name: idOrPath, family, decoder, tokenizer, prefixCacheBytes, ...said });
  } finally {
    await opened.checkpoint.tensors.close();
  }
}
