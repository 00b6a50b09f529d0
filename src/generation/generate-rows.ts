import type { Communicator } from '../ranks/communicator.ts';
import { dealt } from '../ranks/dealt.ts';
import { GenerationBatch } from './batch.ts';
import type { Decoder } from './decoder.ts';
import { generateTokens } from './generate.ts';
import type { TextEnd, TextOptions } from './text-stream.ts';

/** What follows one of many prompts. */
export interface GeneratedRow {
  readonly ids: readonly number[];
  /** Without special tokens; empty for a model without a tokenizer. */
  readonly text: string;
  readonly end: TextEnd;
}

/** Takes the new tokens of a row, and decides where its text ends: a `TextStream`, for example. */
export interface RowStream {
  readonly options: TextOptions;
  readonly ended: boolean;
  readonly end: TextEnd;
  push(id: number): string;
  flush(): string;
}

export interface RowsSettings {
  /** The most rows that run together, default 16; fewer where more would get other tokens than alone. */
  readonly batch?: number | undefined;
  /** Processes that share the rows. Each of them makes the same call, and receives all rows. */
  readonly ranks?: Communicator | undefined;
  readonly signal?: AbortSignal | undefined;
}

const BATCH = 16;

/** Portions that a list of rows is cut into, if it is neither short nor long. */
const PORTIONS = 8;

/**
 * Continues many prompts, several at a time. Rows run in portions of consecutive ones, which depend on nothing else: the
 * result is the same, down to the last bit, for any number of ranks.
 *
 * @param prompts each at least one id.
 * @param streamOf a new stream for a row.
 * @returns the rows in order, a portion at a time.
 */
export async function* generateRows(
  decoder: Decoder,
  prompts: readonly (readonly number[])[],
  streamOf: (row: number) => RowStream,
  { batch = BATCH, ranks, signal }: RowsSettings = {},
): AsyncGenerator<GeneratedRow, void> {
  const together = rowsTogether(decoder, batch);
  // The last run of a portion may have few rows, so a portion is worth several runs.
  const size = Math.min(8 * together, Math.max(2 * together, Math.ceil(prompts.length / PORTIONS)));
  const portions = Array.from({ length: Math.ceil(prompts.length / size) }, (_, i) => {
    const rows = prompts.slice(i * size, (i + 1) * size).map((prompt, k) => ({ prompt, row: i * size + k }));
    return (stop: AbortSignal | undefined) =>
      portion(
        decoder,
        rows.map(({ prompt, row }) => ({ prompt, stream: streamOf(row) })),
        together,
        stop,
      );
  });
  yield* dealt(portions, ranks, signal);
}

interface Row {
  readonly prompt: readonly number[];
  readonly stream: RowStream;
}

async function* portion(
  decoder: Decoder,
  rows: readonly Row[],
  together: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<GeneratedRow, void> {
  const results = rows.map(({ stream }) => ({ stream, ids: [] as number[], text: '' }));
  /** @returns whether the text has ended. */
  const take = (row: number, id: number): boolean => {
    const one = results[row]!;
    one.ids.push(id);
    one.text += one.stream.push(id);
    return one.stream.ended;
  };
  if (together > 1) {
    const running = new GenerationBatch(decoder, { sequences: together });
    for (const { prompt, stream } of rows) running.add(prompt, optionsOf(stream, signal));
    while (running.busy) {
      for (const { sequence, id } of await running.step()) if (take(sequence, id)) running.end(sequence);
    }
  } else {
    for (const [row, { prompt, stream }] of rows.entries()) {
      for await (const id of generateTokens(decoder, prompt, optionsOf(stream, signal)))
        if (take(row, id)) break;
    }
  }
  for (const { stream, ids, text } of results) {
    const whole = text + stream.flush();
    yield { ids, text: whole, end: stream.end };
  }
}

function optionsOf({ options }: RowStream, signal: AbortSignal | undefined): TextOptions {
  return { ...options, ...(signal && { signal }) };
}

/** How many rows can run together with the tokens that each has alone. */
function rowsTogether(decoder: Decoder, wanted: number): number {
  if (!decoder.runsBatches) return 1;
  if (!decoder.roundsActivations) return wanted;
  return decoder.newCache().rolls ? 1 : Math.min(wanted, decoder.sameRows);
}
