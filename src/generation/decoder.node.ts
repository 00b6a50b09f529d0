import { type ModelLayoutOptions, ModelLayouts } from '../checkpoint/layouts/layout-cache.node.ts';
import { type LayoutCacheOptions, layoutCacheSettings } from '../checkpoint/layouts/settings.node.ts';
import type { OpenedModel } from '../checkpoint/load.node.ts';
import { weightSources } from '../checkpoint/weight-sources.node.ts';
import { RopewalkError } from '../errors.ts';
import type { CausalLM } from '../families/family.ts';
import type { PackedLayout } from '../onnx/layout-cache.ts';
import type { Quantization } from '../onnx/quantize.ts';
import { checkDevice, type Device, type Precision } from '../runtime/devices.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import type { Engine } from '../runtime/engine.ts';
import { Decoder } from './decoder.ts';

/**
 * Below this many parameters a second thread costs more than it gains: a decode step is many small operators.
 * Measured on two cores at 1M parameters: 0.8 ms a token with one thread, 1.6 ms with two.
 */
const ONE_THREAD_BELOW = 8e6;

/** Threads for decoding this model; undefined leaves the choice to the engine: one thread per core. */
function decodingThreads(model: CausalLM): number | undefined {
  return model.parameterCount() < ONE_THREAD_BELOW ? 1 : undefined;
}

/** An engine for this model on the given device. */
export function decodingEngine(
  model: CausalLM,
  {
    device = 'cpu',
    precision,
    threads = decodingThreads(model),
  }: Pick<DecoderOptions, 'device' | 'precision' | 'threads'> = {},
): Engine {
  return nodeEngine({
    provider: checkDevice(device),
    ...(precision !== undefined && { precision }),
    ...(threads !== undefined && { threads }),
  });
}

export interface DecoderOptions {
  /** The device; the CPU by default. */
  readonly device?: Device | undefined;
  /** What the device computes in, where it offers a choice; float32 by default. */
  readonly precision?: Precision | undefined;
  /** Threads of the engine, and of quantizing; by default one for small models and one per core for others. */
  readonly threads?: number | undefined;
  /**
   * How the weights of products are quantized; 'none' for float32 whatever the checkpoint contains. By default a
   * quantized checkpoint runs in its own precision, and others unchanged.
   */
  readonly quantize?: Quantization | 'none' | undefined;
  /** Activations in quantized products; see `weightSources`. */
  readonly activations?: 'int8' | 'exact' | undefined;
  /**
   * Set if another model, such as a draft, runs between its tokens: its threads then yield to the other's. Default
   * false.
   */
  readonly takesTurns?: boolean | undefined;
  /** Called while weights are read, with the share read so far, 0 to 1. */
  readonly onProgress?: ((share: number) => void) | undefined;
  /**
   * Keeps the weights as the engine takes them, in a file that later starts map instead of unpacking or quantizing
   * again; false keeps nothing and uses nothing. By default as the environment says: see {@link LayoutCacheOptions}.
   */
  readonly layoutCache?: boolean | LayoutCacheOptions | undefined;
  /** An engine to use instead of one for this device and these threads. */
  readonly engine?: Engine | undefined;
}

/** Prepares an opened model to run. The checkpoint may be closed afterwards. */
export async function createDecoder(opened: OpenedModel, options: DecoderOptions = {}): Promise<Decoder> {
  const { quantize, activations, threads, onProgress: onRead } = options;
  const sources = await weightSources(opened, { quantize, activations, onRead, threads });
  const engine = options.engine ?? decodingEngine(opened.model, options);
  const { weights, folder, close } = sources;
  const { layoutCache = true } = options;
  try {
    const kept = layoutCache && (await layoutCacheSettings(layoutCache === true ? {} : layoutCache));
    const onFound = () => onRead?.(1);
    const settings = {
      spinsBetweenRuns: !options.takesTurns,
      ...(kept && { layouts: new ModelLayouts(opened, { ...kept, quantize, onFound }) }),
      ...(folder !== undefined && { weightsFolder: folder }),
    };
    return await Decoder.create(engine, opened.model, weights, settings, close);
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * Keeps a saved model's weights in the cache of layouts, so that even its first start maps them; one weight at a time is
 * in memory.
 *
 * @returns whether they are kept: not if the cache is off, and not for small models.
 */
export async function keepLayout(
  opened: OpenedModel,
  options: Pick<DecoderOptions, 'device' | 'precision' | 'threads'> & {
    readonly layoutCache?: LayoutCacheOptions;
  } = {},
): Promise<boolean> {
  const kept = await layoutCacheSettings(options.layoutCache);
  if (!kept) return false;
  const { weights, folder, close } = await weightSources(opened);
  try {
    const layouts = new ModelLayouts(opened, kept);
    const settings = folder === undefined ? {} : { weightsFolder: folder };
    const engine = decodingEngine(opened.model, options);
    return await Decoder.keepWeights(engine, opened.model, { ...settings, weights, layouts });
  } finally {
    close();
  }
}

/** Tokens at a time: the engine has kernels for one, a few and many. */
const TRIED = [24, 2, 1];

/**
 * Keeps a model's weights together with the forms into which the engine packs them. Later starts map both: the model
 * then takes little memory of its own, and processes share it. How activations are rounded is part of the form.
 *
 * The engine's packing is its own matter, so the model is run with and without the file: nothing is kept unless the logits
 * are the same bits.
 *
 * @returns the bytes that are kept.
 * @throws RopewalkError with the reason if they cannot be kept.
 */
export async function keepPacked(
  opened: OpenedModel,
  options: Omit<DecoderOptions, 'layoutCache' | 'engine'> & {
    readonly layoutCache?: LayoutCacheOptions;
  } = {},
): Promise<number> {
  const { path } = opened.checkpoint;
  const kept = await layoutCacheSettings({ minimumBytes: 1, ...options.layoutCache });
  if (!kept)
    throw new RopewalkError(
      `the packed form of ${path} is not kept: ROPEWALK_LAYOUT_CACHE is off; name a folder, or unset it.`,
    );
  const { threads, activations, quantize, onProgress: onRead } = options;
  const engine = decodingEngine(opened.model, options);
  const logitsWith = async (own: Partial<ModelLayoutOptions>): Promise<Float32Array[]> => {
    const sources = await weightSources(opened, { quantize, activations, onRead, threads });
    const { weights, folder, close } = sources;
    const layouts = new ModelLayouts(opened, { ...kept, quantize, ...own });
    const settings = { layouts, ...(folder !== undefined && { weightsFolder: folder }) };
    const decoder = await Decoder.create(engine, opened.model, weights, settings, close);
    try {
      const cache = decoder.newCache();
      const logits: Float32Array[] = [];
      let next = 0;
      for (const count of TRIED) {
        const ids = Array.from({ length: count }, () => (next++ * 7919) % opened.model.config.vocab_size);
        logits.push((await decoder.forward(ids, cache, 'last')).slice());
      }
      return logits;
    } finally {
      await decoder.release();
    }
  };
  let reason = 'the engine reads its weights in place';
  const files: PackedLayout[] = [];
  const packed = await logitsWith({
    packed: 'make',
    onPacked: (file) => files.push(file),
    onRefused: (why) => {
      reason = why;
    },
  });
  if (files.length === 0) throw new RopewalkError(`the packed form of ${path} is not kept: ${reason}.`);
  const plain = await logitsWith({ packed: 'ignore' });
  const areSame = plain.every((logits, i) => logits.every((value, at) => Object.is(value, packed[i]![at])));
  if (areSame) return files.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { discard } of files) await discard();
  throw new RopewalkError(
    `the packed form of ${path} is not kept: the engine computes something else with it. Please report this.`,
  );
}
