import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import { openGgufCheckpoint } from '../../src/checkpoint/gguf/reading/checkpoint.ts';
import { openGgufSplit } from '../../src/checkpoint/gguf/reading/reader.ts';
import { matchTensors } from '../../src/checkpoint/match-tensors.ts';
import { openModelFiles } from '../../src/checkpoint/named-files.ts';
import { RopewalkError } from '../../src/errors.ts';
import type { BuiltModel } from '../../src/families/registry.ts';
import { modelFromConfig } from '../../src/families/registry.ts';
import { type ByteSource, checkRange } from '../../src/files/source.ts';
import { LogitLens } from '../../src/generation/taps/lens.ts';
import { TapRunner } from '../../src/generation/taps/taps.ts';
import type { WeightSource } from '../../src/onnx/weights.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { chooseEngine } from './choose-engine.ts';
import type { GivenFile, ModelInfo } from './protocol.ts';

/** The largest model that is opened, in bytes of float32 weights: WebAssembly has 4 GiB, and each compiled graph a copy. */
export const MAX_WEIGHT_BYTES = 1.2 * 2 ** 30;

/** A model that runs in this thread. */
export interface OpenModel extends BuiltModel {
  readonly info: ModelInfo;
  readonly tokenizer: Tokenizer | undefined;
  readonly weights: ReadonlyMap<string, WeightSource>;
  readonly runner: TapRunner;
  lens(): Promise<LogitLens>;
  release(): Promise<void>;
}

/** Bytes of a file that stay where they are until they are read. */
export function blobSource({ name, data }: GivenFile): ByteSource {
  return {
    name,
    size: data.size,
    async read(offset, length) {
      checkRange(name, data.size, offset, length);
      return new Uint8Array(await data.slice(offset, offset + length).arrayBuffer());
    },
  };
}

/** Opens a model of its files. @throws RopewalkError naming the file and the remedy. */
export async function openModel(files: readonly GivenFile[], id: string, name: string): Promise<OpenModel> {
  const checkpoint = await checkpointOf(files, name);
  const built = modelFromConfig(checkpoint.config, checkpoint.configName);
  const bytes = weightBytes(built);
  if (bytes > MAX_WEIGHT_BYTES) {
    throw new RopewalkError(
      `${name}: its weights take ${(bytes / 2 ** 30).toFixed(1)} GiB in float32, more than the ${(MAX_WEIGHT_BYTES / 2 ** 30).toFixed(1)} GiB that the page opens; take a smaller model, or look at it by "ropewalk compare" and "ropewalk generate".`,
    );
  }
  const matched = await matchTensors(built, checkpoint);
  const weights = new Map<string, WeightSource>();
  for (const [path, tensor] of matched.names) {
    weights.set(path, { data: await checkpoint.tensors.readFloat32(tensor) });
  }
  const tokenizerFiles = await checkpoint.tokenizerFiles();
  const tokenizer =
    tokenizerFiles &&
    Tokenizer.fromJSON(tokenizerFiles.tokenizer, tokenizerFiles.config, `the tokenizer of ${name}`);
  const { engine, choice } = await chooseEngine(built.model, weights);
  return {
    ...runnable(engine, matched, weights),
    tokenizer,
    info: {
      id,
      name,
      config: checkpoint.config,
      hasTokenizer: tokenizer !== undefined,
      engine: choice,
      warnings: [...(checkpoint.warnings ?? []), ...built.warnings, ...matched.warnings],
    },
  };
}

/** In float32. */
export function weightBytes({ model }: Pick<BuiltModel, 'model'>): number {
  return 4 * model.parameterCount();
}

/** What runs of a model, from its weights. */
export function runnable(
  engine: Engine,
  { family, config, model }: BuiltModel,
  weights: ReadonlyMap<string, WeightSource>,
) {
  let lens: Promise<LogitLens> | undefined;
  const runner = new TapRunner(engine, model, weights);
  return {
    ...{ family, config, model, weights, runner },
    release: async () => {
      await runner.release();
      await (await lens)?.release();
    },
    lens: () => {
      lens ??= LogitLens.create(engine, model, weights);
      return lens;
    },
  };
}

async function checkpointOf(files: readonly GivenFile[], name: string): Promise<Checkpoint> {
  const gguf = files.filter((file) => /\.gguf$/i.test(file.name)).map(blobSource);
  if (gguf.length > 0) return openGgufCheckpoint(await openGgufSplit(gguf));
  return openModelFiles(new Map(files.map((file) => [file.name, blobSource(file)])), name);
}
