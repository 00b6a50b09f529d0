import { RopewalkError } from '../../src/errors.ts';
import type { TapResult, TapValue } from '../../src/generation/taps/taps.ts';
import { partsOf } from '../../src/inspect/model-parts.ts';
import type { OpenModel } from './open-model.ts';
import type { Candidate, LensEntry, RunRequest, RunResult, ShownToken } from './protocol.ts';

/** What the page shows of a text at most: more would be drawn too small to see. */
const MAX_TOKENS = 256;
/** Characters that are read at most: a token of ordinary text has a few. */
const MAX_CHARACTERS = 8192;
/** Runs are compiled for lengths of these steps; what is padded behind a causal model changes nothing before it. */
const LENGTH_STEP = 16;
const CANDIDATES = 12;

export interface EncodedText {
  readonly ids: readonly number[];
  readonly tokens: readonly ShownToken[];
  readonly omitted: number;
  readonly cut: boolean;
}

/** A text as the tokens that the page shows. */
export function encodeText({ tokenizer, model, info }: OpenModel, text: string): EncodedText {
  if (!tokenizer) {
    throw new RopewalkError(
      `${info.name}: it has no tokenizer, which turns text into tokens; put its tokenizer.json beside its weights.`,
    );
  }
  const part = text.slice(0, MAX_CHARACTERS);
  const all = tokenizer.encode(part);
  const ids = all.slice(0, Math.min(MAX_TOKENS, model.maxPositions));
  const tokens = ids.map((id) => shownToken({ tokenizer }, id));
  return { ids, tokens, omitted: all.length - ids.length, cut: part.length < text.length };
}

/** Signs that show nothing: control characters but tabs and line breaks, and what no character is. */
const UNSEEN = /[^\P{C}\t\n\r\p{Cf}]|\ufffd/u;

/** A token that has no text of its own, part of a character alone or a sign that shows nothing, by its number. */
export function shownToken({ tokenizer }: Pick<OpenModel, 'tokenizer'>, id: number): ShownToken {
  const text = tokenizer?.decode([id]) ?? '';
  return { id, text: text === '' || UNSEEN.test(text) ? `#${id}` : text };
}

/** Runs ids, padded to a length that is compiled already where there is one. */
export async function runPadded(
  { runner, model }: OpenModel,
  ids: readonly number[],
  taps: readonly string[],
): Promise<TapResult> {
  const length = Math.min(Math.ceil(ids.length / LENGTH_STEP) * LENGTH_STEP, model.maxPositions);
  const padded = new Int32Array(length);
  padded.set(ids);
  return runner.run(padded, { taps });
}

const TAPS = ['layers.0.input', 'layers.*.output', 'layers.*.attention.probabilities', 'logits_before_cap'];

interface LastRun {
  readonly text: string;
  readonly encoded: EncodedText;
  readonly result: TapResult;
  readonly lens: readonly (readonly LensEntry[])[];
}

const lastRuns = new WeakMap<OpenModel, LastRun>();

/** Everything that the Run view shows of one model and text. */
export async function runText(model: OpenModel, request: RunRequest): Promise<RunResult> {
  const started = performance.now();
  const last = lastRuns.get(model);
  const run = last?.text === request.text ? last : await compute(model, request.text);
  lastRuns.set(model, run);
  const { encoded, result } = run;
  const count = encoded.ids.length;
  const wanted = request.position ?? count - 1;
  const position = Math.max(0, Math.min(wanted, count - 1));
  const { attentions } = partsOf(model.model);
  const layer = Math.max(0, Math.min(request.layer, attentions.length - 1));
  const { heads, kvHeads, window } = attentions[layer]!;
  const { tokens, omitted, cut } = encoded;
  return {
    ...{ tokens, omitted, cut, position },
    candidates: candidatesAt(model, result, position, request.temperature),
    attention: {
      ...{ layer, layers: attentions.length, heads, kvHeads, window },
      windows: attentions.map(({ window: keys }) => keys),
      probabilities: corner(result.values[`layers.${layer}.attention.probabilities`]!, heads, count),
    },
    norms: ['layers.0.input', ...attentions.map((_, i) => `layers.${i}.output`)].map((name) =>
      lengthOf(rowOf(result.values[name]!, position)),
    ),
    lens: run.lens,
    milliseconds: performance.now() - started,
  };
}

async function compute(model: OpenModel, text: string): Promise<LastRun> {
  const encoded = encodeText(model, text);
  if (encoded.ids.length === 0) {
    throw new RopewalkError('there is nothing to run: type some text.');
  }
  const result = await runPadded(model, encoded.ids, TAPS);
  const { attentions } = partsOf(model.model);
  const lens = await model.lens();
  const layers: LensEntry[][] = [];
  for (const at of attentions.keys()) {
    const { data, shape } = result.values[`layers.${at}.output`]!;
    const width = shape[1]!;
    const count = encoded.ids.length;
    const logits = await lens.run({ data: data.subarray(0, count * width), shape: [count, width] });
    layers.push(Array.from({ length: count }, (_, row) => likeliest(model, rowOf(logits, row))));
  }
  return { text, encoded, result, lens: layers };
}

export function rowOf({ data, shape }: TapValue, row: number): Float32Array {
  const width = shape.at(-1)!;
  return data.subarray(row * width, (row + 1) * width);
}

function lengthOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}

/** `[1, heads, padded, padded]` → `[heads, count, count]` */
function corner({ data, shape }: TapValue, heads: number, count: number): Float32Array {
  const padded = shape.at(-1)!;
  const part = new Float32Array(heads * count * count);
  for (let head = 0; head < heads; head++) {
    for (let row = 0; row < count; row++) {
      const from = (head * padded + row) * padded;
      part.set(data.subarray(from, from + count), (head * count + row) * count);
    }
  }
  return part;
}

/** Probabilities of logits at a temperature. */
export function softmax(logits: Float32Array, temperature = 1): Float64Array {
  let highest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) highest = Math.max(highest, logit);
  const result = Float64Array.from(logits, (logit) => Math.exp((logit - highest) / temperature));
  let sum = 0;
  for (const value of result) sum += value;
  return result.map((value) => value / sum);
}

function candidatesAt(
  model: OpenModel,
  { logits, values }: TapResult,
  position: number,
  temperature: number,
): Candidate[] {
  const capped = rowOf(logits, position);
  const raw = rowOf(values.logits_before_cap!, position);
  const probabilities = softmax(capped);
  const uncapped = softmax(raw);
  const tempered = softmax(capped, temperature);
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b]! - probabilities[a]!);
  return order.slice(0, CANDIDATES).map((id) => ({
    ...shownToken(model, id),
    raw: raw[id]!,
    logit: capped[id]!,
    uncapped: uncapped[id]!,
    probability: probabilities[id]!,
    tempered: tempered[id]!,
  }));
}

function likeliest(model: OpenModel, logits: Float32Array): LensEntry {
  let id = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[id]!) id = i;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - logits[id]!);
  return { ...shownToken(model, id), probability: 1 / sum };
}
