import { RopewalkError } from '../errors.ts';
import type { MultimodalForm } from '../families/family.ts';
import type { BuiltModel } from '../families/registry.ts';
import { shapeText } from '../graph/dims.ts';
import type { Parameter } from '../nn/module.ts';
import type { Checkpoint, TensorReader } from './checkpoint.ts';
import { plainAllTheSame, quantizationMethod, quantizedElsewhere } from './quantization.ts';
import { quote } from './safetensors/header.ts';

/** A model, and the names of its weights in the file. */
export interface MatchedModel extends BuiltModel {
  /** Each parameter's name in the file, by its path. */
  readonly names: ReadonlyMap<string, string>;
  /** Tensors in the file that are not in the model. */
  readonly unused: readonly string[];
  readonly warnings: readonly string[];
}

/** Prefixes and infixes that trainers add to a model's names. */
const WRAPPERS = /^(?:module\.|base_model\.model\.)+/;
const INNER_WRAPPERS = /(^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)/g;
/** Tensors of other programs' quantization formats, next to or in place of a weight. */
const QUANTIZED_PARTS =
  /\.(?:qweight|qzeros|scales|g_idx|absmax|quant_map|weight_scale|weight_scale_inv|weight_packed|biases|SCB|quant_state\..+)$/;
/** Types that are not read as weights, by safetensors' names. */
const NOT_FLOAT = /^(?:[UI]\d+|F4|F6_\w+|F8_\w+|BOOL|C64)$/;

/**
 * Finds each weight of a model in a checkpoint, and checks its shape. As in transformers, a separate head is used
 * whatever the config says about tying; a tied weight may be saved under either of its names.
 *
 * @param built the model; if it is the text part of a multimodal checkpoint, tensors of other parts are skipped.
 * @throws RopewalkError naming the weight that is missing or wrong, and the remedy.
 */
export async function matchTensors(
  built: BuiltModel & { readonly multimodal?: MultimodalForm },
  checkpoint: Checkpoint,
): Promise<MatchedModel> {
  const { tensors, path } = checkpoint;
  const warnings: string[] = [];
  const { multimodal } = built;
  const find = nameFinder(tensors, multimodal);
  const untied = await untiedHead(built, tensors, find);
  const model = untied ? withOwnHead(built) : built;
  if (untied) {
    warnings.push(
      `${checkpoint.configName}: "tie_word_embeddings" says that the output head is the embedding, but ${path} has a separate head (${quote(untied)}) with different values, which is used; set "tie_word_embeddings" to false.`,
    );
  }
  const method = quantizationMethod(checkpoint.config);
  const names = new Map<string, string>();
  const taken = new Set<string>();
  const places = placesOf(model);
  for (const [parameterPath, parameter] of model.model.parameters()) {
    const found = places.get(parameter)!.flatMap((place) => find(place) ?? []);
    for (const name of found) taken.add(name);
    const [name] = found;
    if (name === undefined) throw missing(parameterPath, model, checkpoint, method);
    check(name, parameter, checkpoint, method);
    names.set(parameterPath, name);
  }
  const unused = tensors.names().filter((name) => !taken.has(name) && !model.model.isBuffer(plainName(name)));
  const isOther = (name: string) => multimodal !== undefined && !multimodal.textName(plainName(name));
  const [others, rest] = [unused.filter(isOther), unused.filter((name) => !isOther(name))];
  if (multimodal) {
    warnings.push(
      `${path}: only the text part of this multimodal model runs${others.length > 0 ? `; ${others.length} tensors of its other parts are skipped (${some(others)})` : ''}.`,
    );
  }
  if (rest.length > 0) {
    warnings.push(
      `${path}: ${rest.length} tensors in the file are not part of the model and are ignored: ${some(rest)}.`,
    );
  }
  if (method !== undefined) warnings.push(plainAllTheSame(method, checkpoint.configName));
  return { family: model.family, config: model.config, model: model.model, names, unused, warnings };
}

/** A few of many names. */
const some = (names: readonly string[]) =>
  `${names.slice(0, 3).map(quote).join(', ')}${names.length > 3 ? ', …' : ''}`;

/** A name without trainers' prefixes. */
function plainName(name: string): string {
  return name.replace(INNER_WRAPPERS, '$1').replaceAll('..', '.').replace(/^\./, '').replace(WRAPPERS, '');
}

/**
 * Finds the file's name for a parameter: its own, without its first part (GPT-2's on the hub), or with a trainer's
 * prefix.
 */
function nameFinder(
  tensors: TensorReader,
  multimodal: MultimodalForm | undefined,
): (place: string) => string | undefined {
  let wrapped: Map<string, string> | undefined;
  const unwrap = () => {
    wrapped = new Map();
    for (const name of tensors.names()) {
      const unwrapped = plainName(name);
      const plain = multimodal ? multimodal.textName(unwrapped) : unwrapped;
      if (plain !== undefined && plain !== name && !wrapped.has(plain)) wrapped.set(plain, name);
    }
    return wrapped;
  };
  return (place) => {
    const shortened = place.replace(/^(?:model|transformer)\./, '');
    const names = [place, shortened];
    return (
      names.find((name) => tensors.has(name)) ??
      names.flatMap((name) => (wrapped ?? unwrap()).get(name) ?? [])[0]
    );
  };
}

/** All places of each parameter; tied ones have several. */
function placesOf({ model }: BuiltModel): Map<Parameter, string[]> {
  const places = new Map<Parameter, string[]>();
  for (const [place, parameter] of model.parameterPlaces()) {
    places.set(parameter, [...(places.get(parameter) ?? []), place]);
  }
  return places;
}

/** The file's name of a head that differs from the embedding that it should equal; undefined if they are equal. */
async function untiedHead(
  built: BuiltModel,
  tensors: TensorReader,
  find: (place: string) => string | undefined,
): Promise<string | undefined> {
  const [embedding, head] = placesOf(built).get(built.model.head.weight)!.map(find);
  if (embedding === undefined || head === undefined) return undefined;
  return (await sameNumbers(tensors, embedding, head)) ? undefined : head;
}

/** Compares row by row, so that neither matrix is ever completely in memory. */
async function sameNumbers(tensors: TensorReader, first: string, second: string): Promise<boolean> {
  const [a, b] = [tensors.info(first), tensors.info(second)];
  if (a.shape.length !== 2 || String(a.shape) !== String(b.shape)) return false;
  if (NOT_FLOAT.test(a.dtype) || NOT_FLOAT.test(b.dtype)) return false;
  const [ours, theirs] = [await tensors.openRows(first), await tensors.openRows(second)];
  try {
    const [left, right] = [new Float32Array(ours.width), new Float32Array(theirs.width)];
    for (let row = 0; row < ours.rows; row++) {
      ours.read(row, left, 0);
      theirs.read(row, right, 0);
      for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
    }
    return true;
  } finally {
    ours.close();
    theirs.close();
  }
}

function withOwnHead({ family, config }: BuiltModel): BuiltModel {
  const own = { ...config, tie_word_embeddings: false };
  return { family, config: own, model: family.build(own) };
}

function missing(
  parameterPath: string,
  { model, config }: BuiltModel,
  { path, configName, tensors }: Checkpoint,
  method: string | undefined,
): RopewalkError {
  const names = tensors.names();
  const adapter = names.find((name) => /\.lora_[AB]\.|\.lora_embedding_[AB]|\.base_layer\./.test(name));
  if (adapter !== undefined) {
    return new RopewalkError(
      `${path}: it has the weights of an unmerged adapter (${quote(adapter)}); merge it in Python (peft: model.merge_and_unload().save_pretrained(…)) and name that folder.`,
    );
  }
  const part = names.find((name) => QUANTIZED_PARTS.test(name));
  if (part !== undefined && part.replace(QUANTIZED_PARTS, '').length > 0) {
    return quantizedElsewhere(method ?? 'unknown', configName, part);
  }
  if (method !== undefined) return quantizedElsewhere(method, configName, parameterPath);
  const problem = `${path}: the weight "${parameterPath}" is missing from the checkpoint`;
  if (parameterPath === model.head.weight.path && !config.tie_word_embeddings) {
    return new RopewalkError(
      `${problem}, and ${configName} says that the output head is not the embedding; set "tie_word_embeddings" to true if the original model ties them, otherwise download all weight files again.`,
    );
  }
  const some = names
    .filter((name) => !model.isBuffer(name))
    .slice(0, 2)
    .map(quote);
  return new RopewalkError(
    `${problem}, which has ${names.length} tensors${some.length > 0 ? ` (${some.join(', ')}, …)` : ''}; download all files of the model again, or the config.json that belongs to them.`,
  );
}

function check(
  name: string,
  parameter: Parameter,
  { configName, tensors }: Checkpoint,
  method: string | undefined,
): void {
  const { shape, file, dtype } = tensors.info(name);
  if (method !== undefined && NOT_FLOAT.test(dtype)) throw quantizedElsewhere(method, configName, name);
  if (shape.length === parameter.shape.length && shape.every((size, axis) => size === parameter.shape[axis]))
    return;
  if (method !== undefined) throw quantizedElsewhere(method, configName, name);
  throw new RopewalkError(
    `${file}: the weight "${name}" has shape ${shapeText(shape)}, but ${configName} requires ${shapeText(parameter.shape)}; one of the two files belongs to another model.`,
  );
}
