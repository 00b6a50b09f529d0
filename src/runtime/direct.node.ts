import { basename } from 'node:path';
import { Tensor as OrtTensor } from 'onnxruntime-common';
import type { ProductPart, ProductWeight, ProvidedWeight } from '../onnx/emit.ts';
import type { LayoutCache, LayoutEngine, PackedPaths } from '../onnx/layout-cache.ts';
import type { DeviceMemory } from './device.ts';
import type { DeviceUse } from './device-errors.ts';
import { openDeviceMemory } from './device-memory.node.ts';
import { DirectSession } from './direct-session.node.ts';
import {
  type EngineSession,
  type EngineSessionOptions,
  type OnnxRuntime,
  type SessionModel,
  WEBGPU_OPTIONS,
} from './engine.ts';
import { layoutEngine, openFromLayout } from './from-layout.node.ts';
import { type Library, openLibrary, type Pointer } from './library.node.ts';
import { keepPacked, openFromPacked, type StoredModel } from './packed.node.ts';
import { packedParts } from './packing.node.ts';
import { ProvidedWeights } from './provided.node.ts';
import { ProviderLibraries, type SelectedDevice } from './providers/provider-libraries.node.ts';

/**
 * ONNX Runtime through its C interface, called from TypeScript through koffi: the library that onnxruntime-node
 * loads, without the overhead of its binding. The binding copies every output, even one that it was given an array
 * for; a training step of 30M parameters spends 4 % of its time on that. Here outputs are written directly into their
 * arrays, and a value in the same array as in the previous run keeps its descriptor.
 */

/** Sessions that run one after another need memory for activations once. */
function withSharedArena(options: EngineSessionOptions): EngineSessionOptions {
  const session = { ...(options.extra?.session ?? {}), use_env_allocators: '1' };
  return { ...options, extra: { ...options.extra, session } };
}

/** Weights in files are looked for in a folder. */
function inFolder(options: EngineSessionOptions, folder: string): EngineSessionOptions {
  const session = {
    ...(options.extra?.session ?? {}),
    model_external_initializers_file_folder_path: folder,
  };
  return { ...options, extra: { ...options.extra, session } };
}

/** All sessions; if one cannot be created, the others are released. */
async function allOrNone(creating: readonly Promise<EngineSession>[]): Promise<EngineSession[]> {
  const created = await Promise.allSettled(creating);
  const sessions = created.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = created.find((result) => result.status === 'rejected');
  if (!failed) return sessions;
  for (const session of sessions) await session.release();
  throw failed.reason;
}

/** Nested settings as the C interface takes them: {session: {a: '1'}} → session.a = 1. */
function* configEntries(extra: object, prefix = ''): Generator<[string, string]> {
  for (const [key, value] of Object.entries(extra)) {
    if (typeof value === 'object' && value !== null) yield* configEntries(value, `${prefix}${key}.`);
    else yield [`${prefix}${key}`, String(value)];
  }
}

/** The library's names of the providers that are enabled next to its CPU kernels; the binding serves all others. */
const PROVIDERS: Readonly<Record<string, string | null>> = { cpu: null, webgpu: 'WebGPU' };

function providerOf({ executionProviders: [provider] = ['cpu'] }: EngineSessionOptions): string {
  return provider ?? 'cpu';
}

/**
 * @param binding onnxruntime-node, for what this does not support.
 * @returns undefined if koffi or the library is not available.
 */
export function directRuntime(binding: OnnxRuntime):
  | {
      readonly runtime: OnnxRuntime;
      readonly placeholder: Library['placeholder'];
      readonly layouts: LayoutEngine;
      /** @param provider one with memory of its own. */
      openMemory(provider: string, use?: DeviceUse): Promise<DeviceMemory>;
      readonly libraries: ProviderLibraries;
      /** The runtime whose sessions run on a device of a provider library. */
      on(device: SelectedDevice): OnnxRuntime;
    }
  | undefined {
  const library = openLibrary();
  if (!library) return undefined;
  const { api, koffi } = library;
  /** The options of a session, in C: to be released. */
  const settingsOf = (
    options: EngineSessionOptions,
    weights: ProvidedWeights,
    device?: SelectedDevice,
  ): Pointer => {
    const settings = library.out((out) => api.createSessionOptions(out));
    try {
      library.check(api.setGraphOptimizationLevel(settings, 99));
      library.check(api.setLogSeverity(settings, options.logSeverityLevel ?? 3));
      if (options.enableMemPattern === false) library.check(api.disableMemPattern(settings));
      if (options.intraOpNumThreads !== undefined) {
        library.check(api.setIntraOpNumThreads(settings, options.intraOpNumThreads));
      }
      for (const [key, value] of configEntries(options.extra ?? {})) {
        library.check(api.addSessionConfigEntry(settings, key, value));
      }
      if (options.enableProfiling) {
        const encoding = process.platform === 'win32' ? 'utf16le' : 'utf8';
        const prefix = Buffer.from(`${options.profileFilePrefix ?? 'profile'}\0`, encoding);
        library.check(api.enableProfiling(settings, koffi.address(prefix)));
      }
      if (options.saves) {
        const { graph, weights: file } = options.saves;
        const encoding = process.platform === 'win32' ? 'utf16le' : 'utf8';
        const path = Buffer.from(`${graph}\0`, encoding);
        library.check(api.setOptimizedModelPath(settings, koffi.address(path)));
        const entries = {
          optimized_model_external_initializers_file_name: basename(file),
          optimized_model_external_initializers_min_size_in_bytes: '1',
          save_external_prepacked_constant_initializers: '1',
        };
        for (const [key, value] of Object.entries(entries))
          library.check(api.addSessionConfigEntry(settings, `session.${key}`, value));
      }
      const provider = PROVIDERS[providerOf(options)];
      if (device) device.append(settings, { threads: options.intraOpNumThreads });
      else if (provider) library.check(api.appendExecutionProvider(settings, provider, null, null, 0));
      weights.giveTo(settings, provider === null ? 'cpu' : 'other');
      return settings;
    } catch (error) {
      api.releaseSessionOptions(settings);
      throw error;
    }
  };
  /** Frees the weights if it fails. */
  const open = async (
    model: Uint8Array,
    options: EngineSessionOptions,
    weights: ProvidedWeights,
    device?: SelectedDevice,
  ): Promise<EngineSession> => {
    try {
      const settings = settingsOf(options, weights, device);
      try {
        const session = await library.createSession(model, settings);
        return new DirectSession(library, session, weights, options.inBackground ?? false);
      } finally {
        api.releaseSessionOptions(settings);
      }
    } catch (error) {
      weights.release();
      throw error;
    }
  };
  const packingOptions: EngineSessionOptions = {
    intraOpNumThreads: 1,
    extra: { session: { model_external_initializers_file_folder_path: library.placeholder.folder } },
  };
  const known = new Map<string, Promise<ReadonlySet<ProductPart>>>();
  const packs = (product: ProductWeight) => {
    const key = JSON.stringify(product);
    const found =
      known.get(key) ??
      packedParts(library, product, (model, weights) => open(model, packingOptions, weights));
    known.set(key, found);
    return found;
  };
  const createAll = async (
    models: readonly SessionModel[],
    options: EngineSessionOptions = {},
    layouts?: LayoutCache,
    device?: SelectedDevice,
  ): Promise<EngineSession[]> => {
    const { disable_prepacking } = (options.extra?.session ?? {}) as Record<string, unknown>;
    const isPacked = disable_prepacking !== '1' && providerOf(options) === 'cpu';
    const chained = models.length > 1;
    if (chained) library.shareArena();
    const ownOptions = chained ? withSharedArena(options) : options;
    const openOne = async (model: SessionModel, weights: ProvidedWeights) => {
      const session = await open(model.bytes, ownOptions, weights, device);
      if (isPacked) await weights.releasePacked(packs);
      return session;
    };
    const own = layouts && isPacked && !device && (await openPacked(models, ownOptions, layouts));
    if (own) return own;
    const kept =
      layouts &&
      (await openFromLayout(
        library,
        models.map((model) => model.provided),
        layouts,
        (weights) => allOrNone(models.map((model, i) => openOne(model, weights[i]!))),
      ));
    const sessions = kept ?? (await allOrNone(await openInTurn(models, openOne)));
    if (models.some((model) => model.provided.length > 0)) library.trimMemory();
    return sessions;
  };
  /** Sessions over packed forms in a cache, which are made first if it is to keep them. */
  const openPacked = async (
    models: readonly SessionModel[],
    options: EngineSessionOptions,
    layouts: LayoutCache,
  ): Promise<EngineSession[] | undefined> => {
    if (models.every(({ provided }) => provided.length === 0)) return undefined;
    const session = (options.extra?.session ?? {}) as Record<string, string>;
    const folder = session.model_external_initializers_file_folder_path ?? library.placeholder.folder;
    const openStored = (model: StoredModel, saves?: PackedPaths) =>
      open(
        model.bytes,
        { ...inFolder(options, model.folder), ...(saves && { saves }) },
        new ProvidedWeights(library),
      );
    const find = () =>
      openFromPacked(library, models, folder, layouts, (stored) =>
        allOrNone(stored.map((model) => openStored(model))),
      );
    const found = await find();
    if (found || !layouts.keepsPacked) return found;
    await keepPacked(library, models, folder, layouts, openStored);
    return find();
  };
  /** Sessions over weights that are read one session after the other: while those of one are read, others are packed. */
  const openInTurn = async (
    models: readonly SessionModel[],
    openOne: (model: SessionModel, weights: ProvidedWeights) => Promise<EngineSession>,
  ): Promise<Promise<EngineSession>[]> => {
    const opening: Promise<EngineSession>[] = [];
    for (const model of models) {
      const weights = new ProvidedWeights(library);
      try {
        for (const weight of model.provided) await weights.add(weight);
      } catch (error) {
        weights.release();
        return [...opening, Promise.reject(error)];
      }
      const session = openOne(model, weights);
      // It is awaited with the others.
      session.catch(() => {});
      opening.push(session);
    }
    return opening;
  };
  const create = async (
    model: Uint8Array,
    options: EngineSessionOptions = {},
    provided: readonly ProvidedWeight[] = [],
    layouts?: LayoutCache,
    device?: SelectedDevice,
  ): Promise<EngineSession> => {
    const isOurs = device !== undefined || providerOf(options) in PROVIDERS;
    if (!isOurs || options.graphOptimizationLevel !== 'all')
      return binding.InferenceSession.create(model, options);
    const [session] = await createAll([{ bytes: model, provided }], options, layouts, device);
    return session!;
  };
  return {
    runtime: { InferenceSession: { create, createAll }, Tensor: OrtTensor },
    placeholder: library.placeholder,
    layouts: layoutEngine(library),
    libraries: new ProviderLibraries(library),
    on: (device) => ({
      InferenceSession: {
        create: (model, options, provided, layouts) =>
          create(model, options, provided, layouts, device).catch((error: unknown) => {
            throw device.failed(error);
          }),
      },
      Tensor: OrtTensor,
    }),
    openMemory: (provider, use) => {
      const createSession = async (model: Uint8Array) => {
        const extra = { ep: { webgpuexecutionprovider: WEBGPU_OPTIONS } };
        const settings = settingsOf({ executionProviders: [provider], extra }, new ProvidedWeights(library));
        try {
          return await library.createSession(model, settings);
        } finally {
          api.releaseSessionOptions(settings);
        }
      };
      return openDeviceMemory(library, createSession, use);
    },
  };
}
