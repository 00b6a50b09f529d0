import { openModel, tokenizerOf } from '../checkpoint/load.node.ts';
import { RopewalkError } from '../errors.ts';
import type { PullProgress } from '../hub/pull.node.ts';
import { resolveModel } from '../hub/resolve.node.ts';
import { createDecoder, type DecoderOptions } from './decoder.node.ts';
import { LocalModel } from './local-model.ts';
import { openTaps } from './taps/taps.node.ts';

/** Everything but the functions and the signal can be cloned, so that it can be sent to another thread. */
export interface LoadOptions extends Omit<DecoderOptions, 'engine'> {
  /**
   * Memory for the prefix cache, in bytes: a text that shares a prefix with a recent one runs only the rest. None by
   * default. With it, activations are exact by default, and `'int8'` is refused.
   */
  readonly prefixCacheBytes?: number | undefined;
  /** The most completions (`complete`) that run at the same time, default 8; others wait. */
  readonly sequences?: number | undefined;
  /** Called while a model is downloaded from the hub. */
  readonly onDownload?: ((progress: PullProgress) => void) | undefined;
  /** Stops downloading and reading weights: loading rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Like `load`, but the model runs in the caller's thread: each run blocks it, and its decoder is accessible to
 * programs that need logits, caches or custom constraints.
 *
 * @throws RopewalkError naming the file and the field or tensor that is missing or wrong.
 */
export async function loadHere(idOrPath: string, options: LoadOptions = {}): Promise<LocalModel> {
  const { signal, onProgress, onDownload, prefixCacheBytes, sequences, ...settings } = options;
  signal?.throwIfAborted();
  const path = await resolveModel(idOrPath, { signal, onProgress: onDownload });
  const opened = await openModel(path, settings);
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
    // A cached prefix was computed in other chunks than the text would be without the cache.
    const activations = settings.activations ?? (prefixCacheBytes ? 'exact' : undefined);
    const decoder = await createDecoder(opened, { ...settings, activations, onProgress: watched });
    const said = { sequences, stopTokens, sampling, warnings, openTaps: () => openTaps(path, settings) };
    return new LocalModel({ name: idOrPath, family, decoder, tokenizer, prefixCacheBytes, ...said });
  } finally {
    await opened.checkpoint.tensors.close();
  }
}
