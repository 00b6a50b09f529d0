import { messageText, option, type SpellOption, said } from '../errors.ts';

/** What happened to the rows of the data. */
export interface DataReport {
  /** The files in order, with their row counts, including unusable rows. */
  readonly files: readonly {
    readonly path: string;
    readonly rows: number;
    readonly columns: readonly string[];
  }[];
  readonly rows: number;
  readonly examples: number;
  readonly tokens: number;
  /** Targets that count. */
  readonly trainedTokens: number;
  /** Lengths of examples before they were cut, over all encoded rows. */
  readonly lengths: LengthSummary;
  readonly maxLength: number;
  /** Examples that were cut to `maxLength`, and the tokens lost. */
  readonly truncated: { readonly examples: number; readonly tokens: number };
  /** Texts that were split into several examples, and the number of those examples. */
  readonly continued: { readonly rows: number; readonly examples: number };
  /** Texts that contain special tokens, the first such token, and whether they were read as tokens. */
  readonly spelled: { readonly rows: number; readonly token: string; readonly special: boolean } | null;
  /** Unused rows by reason, with the locations of the first ones. */
  readonly dropped: readonly DroppedRows[];
}

export interface LengthSummary {
  readonly min: number;
  readonly median: number;
  readonly mean: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  /** Examples by length: those of up to `to` tokens that are longer than the `to` before. Powers of two. */
  readonly histogram: readonly { readonly to: number; readonly examples: number }[];
}

export interface DroppedRows {
  readonly reason: 'malformed' | 'empty' | 'nothing trained' | 'too long';
  readonly rows: number;
  /** The first few, as `file:line: what is wrong`. */
  readonly first: readonly string[];
}

/** How many rows of each reason are listed. */
const MOST_NAMED = 5;

/** Counts rows while they are read. */
export class ReportBuilder {
  readonly #files: { path: string; rows: number; columns: readonly string[] }[] = [];
  readonly #lengths = new Map<number, number>();
  readonly #dropped = new Map<DroppedRows['reason'], { rows: number; first: string[] }>();
  #examples = 0;
  #tokens = 0;
  #trained = 0;
  readonly #truncated = { examples: 0, tokens: 0 };
  readonly #continued = { rows: 0, examples: 0 };
  #spelled: { rows: number; token: string; special: boolean } | null = null;

  beginFile(path: string): void {
    this.#files.push({ path, rows: 0, columns: [] });
  }

  setColumns(columns: readonly string[]): void {
    this.#files.at(-1)!.columns = columns;
  }

  row(): void {
    this.#files.at(-1)!.rows++;
  }

  length(tokens: number): void {
    this.#lengths.set(tokens, (this.#lengths.get(tokens) ?? 0) + 1);
  }

  truncated(tokens: number): void {
    this.#truncated.examples++;
    this.#truncated.tokens += tokens;
  }

  continued(examples: number): void {
    this.#continued.rows++;
    this.#continued.examples += examples;
  }

  spelled(token: string, special: boolean): void {
    this.#spelled ??= { rows: 0, token, special };
    this.#spelled.rows++;
  }

  dropped(reason: DroppedRows['reason'], where: string): void {
    const entry = this.#dropped.get(reason) ?? { rows: 0, first: [] };
    entry.rows++;
    if (entry.first.length < MOST_NAMED) entry.first.push(where);
    this.#dropped.set(reason, entry);
  }

  example(tokens: number, trained: number): void {
    this.#examples++;
    this.#tokens += tokens;
    this.#trained += trained;
  }

  get rows(): number {
    return this.#files.reduce((sum, { rows }) => sum + rows, 0);
  }

  build(maxLength: number): DataReport {
    return {
      files: this.#files,
      rows: this.rows,
      examples: this.#examples,
      tokens: this.#tokens,
      trainedTokens: this.#trained,
      lengths: summarizeLengths(this.#lengths),
      maxLength,
      truncated: { ...this.#truncated },
      continued: { ...this.#continued },
      spelled: this.#spelled && { ...this.#spelled },
      dropped: [...this.#dropped].map(([reason, entry]) => ({ reason, ...entry })),
    };
  }
}

/** @param counts the number of examples of each length. */
function summarizeLengths(counts: ReadonlyMap<number, number>): LengthSummary {
  const sorted = [...counts].sort(([a], [b]) => a - b);
  const total = sorted.reduce((sum, [, count]) => sum + count, 0);
  const sum = sorted.reduce((all, [length, count]) => all + length * count, 0);
  /** The shortest length that at least this share of the examples does not exceed (nearest rank). */
  const quantile = (share: number) => {
    let seen = 0;
    for (const [length, count] of sorted) {
      seen += count;
      if (seen >= share * total) return length;
    }
    return 0;
  };
  const bins = new Map<number, number>();
  for (const [length, count] of sorted) {
    const to = 2 ** Math.ceil(Math.log2(Math.max(1, length)));
    bins.set(to, (bins.get(to) ?? 0) + count);
  }
  return {
    min: sorted[0]?.[0] ?? 0,
    median: quantile(0.5),
    mean: total === 0 ? 0 : sum / total,
    p90: quantile(0.9),
    p99: quantile(0.99),
    max: sorted.at(-1)?.[0] ?? 0,
    histogram: [...bins].map(([to, examples]) => ({ to, examples })),
  };
}

/**
 * What users should know about the data besides the numbers, in sentences: what was skipped, cut, continued or
 * interpreted.
 */
export function dataNotes(
  { files, truncated, continued, spelled, dropped }: DataReport,
  spell?: SpellOption,
): string[] {
  return [
    ...files.filter(({ rows }) => rows === 0).map(({ path }) => `${path} has no rows; it is skipped`),
    ...(spelled ? [spelledNote(spelled, spell)] : []),
    ...(continued.rows > 0
      ? [
          messageText(
            said`${continued.rows} texts are longer than a row and continue in further rows (${continued.examples} examples); ${option('tooLong', 'truncate')} cuts them`,
            spell,
          ),
        ]
      : []),
    ...(truncated.examples > 0
      ? [
          messageText(
            said`${truncated.examples} examples are longer than a row and were cut; ${option('tooLong', 'drop')} removes them`,
            spell,
          ),
        ]
      : []),
    ...dropped.map(({ reason, rows, first }) => `${rows} rows dropped (${reason}): ${first.join(', ')}`),
  ];
}

/** How texts that contain special tokens are interpreted, and how to change it. */
export function spelledNote(
  spelled: { readonly rows: number; readonly token: string; readonly special: boolean },
  spell?: SpellOption,
): string {
  const { rows, token, special } = spelled;
  const which = `${rows} ${rows === 1 ? 'text spells' : 'texts spell'} special tokens, such as ${token}`;
  const note = special
    ? said`${which}: they become these tokens, as texts rendered with a chat template require; ${option('specialTokensInText', false)} keeps them as plain text`
    : said`${which}, and look rendered with a chat template, but are kept as plain text; ${option('specialTokensInText', true)} makes them tokens`;
  return messageText(note, spell);
}
