import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { aggregate } from './metrics/aggregations.ts';
import { editCounts, editRate } from './metrics/edit-rate.ts';
import { exactMatch } from './metrics/exact-match.ts';
import { standardError } from './metrics/standard-error.ts';
import { bleu, bleuCounts, chrfCounts } from './metrics/translation.ts';
import { LiteralError, literal } from './python/literal.ts';
import { PythonRandom } from './python/random.ts';
import { PythonRegex, RegexError, RegexTooSlow } from './python/regex.ts';
import { type Doc, Float } from './python/values.ts';
import { TaskTemplate } from './tasks/template.ts';
import { parseTaskFile } from './tasks/yaml.ts';

type Outcome<T> = { readonly is: T; readonly error?: undefined } | { readonly error: string };

/** What test/reference/make_evaluate_python.py writes. */
interface Reference {
  readonly regex: readonly (readonly [string, string, unknown, string, string])[];
  readonly badPatterns: readonly string[];
  readonly literals: readonly (readonly [string, Outcome<unknown>])[];
  readonly yaml: readonly (readonly [string, Outcome<string>])[];
  readonly doc: Doc;
  readonly templates: readonly (readonly [string, Outcome<string>])[];
  readonly pairs: readonly (readonly [string, string])[];
  readonly bleu: number;
  readonly bleuEach: readonly number[];
  readonly chrf: number;
  readonly chrfpp: number;
  readonly edits: readonly (readonly [string, string])[];
  readonly ter: number;
  readonly terEach: readonly number[];
  readonly random: readonly (readonly [number, readonly unknown[]])[];
  readonly classes: readonly (readonly [readonly (readonly [number, number])[], Outcome<number>, number])[];
  readonly brier: number;
  readonly matches: readonly (readonly [string, string, Readonly<Record<string, unknown>>, number])[];
  readonly bootstrap: {
    readonly values: readonly number[];
    readonly perplexity: number;
    readonly median: number;
  };
}
const path = new URL('../../test/reference/evaluate/python.json', import.meta.url);
const reference = JSON.parse(readFileSync(path, 'utf8')) as Reference;

describe("Python's regular expressions", () => {
  it('find and replace what Python finds and replaces', () => {
    const wrong = reference.regex.filter(([pattern, text, all, marked, once]) => {
      const regex = new PythonRegex(pattern);
      const ours = [regex.findAll(text), regex.replace(text, '<\\g<0>>'), regex.replace(text, '-', 1)];
      return JSON.stringify(ours) !== JSON.stringify([all, marked, once]);
    });
    expect(wrong.slice(0, 3)).toEqual([]);
  });

  it.each(reference.badPatterns)('refuse the pattern %j, as Python does', (pattern) => {
    expect(() => new PythonRegex(pattern)).toThrow(RegexError);
  });

  it.each(['(a+)+$', '(a|a)*$', '(.*)*x', '^(([a-z])+.)+[A-Z]([a-z])+$'])(
    'stop the pattern %j, which explodes, after a bounded number of steps',
    (pattern) => {
      expect(() => new PythonRegex(pattern).findAll(`${'a'.repeat(60)}!`)).toThrow(RegexTooSlow);
    },
  );

  it('refuse a text that nests a group too deeply, instead of overflowing the stack', () => {
    const regex = new PythonRegex('(?:ab)*c');
    expect(() => regex.findAll('ab'.repeat(200_000))).toThrow(RegexTooSlow);
  });
});

describe("Python's values", () => {
  it.each(reference.literals)('the literal %j', (text, outcome) => {
    if (outcome.error !== undefined) expect(() => literal(text)).toThrow(LiteralError);
    else expect(JSON.parse(JSON.stringify(literal(text)))).toEqual(outcome.is);
  });

  it.each(reference.yaml)('the YAML scalar %j', (text, outcome) => {
    const { a } = parseTaskFile(`a: ${text}`, 'x.yaml');
    if (outcome.error === undefined) expect(repr(a)).toBe(outcome.is.replace(/^(-?\d+)\.0$/, '$1'));
  });

  it.each(reference.random)('random numbers of the seed %d', (seed, drawn) => {
    const random = new PythonRandom(seed);
    const range = (length: number) => Array.from({ length }, (_, i) => i);
    expect([
      range(3).map(() => random.random()),
      random.sample(range(10), 4),
      random.sample(range(1000), 6),
      random.sample(range(40), 5),
      random.resample(range(7)),
      random.sample(range(100), 30),
      range(20).map(() => random.below(5)),
    ]).toEqual(drawn);
  });
});

/** `repr` of a YAML scalar. */
function repr(value: unknown): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') return `'${value}'`;
  if (Number.isNaN(value)) return 'nan';
  if (value === Number.POSITIVE_INFINITY) return 'inf';
  if (value === Number.NEGATIVE_INFINITY) return '-inf';
  return String(value);
}

describe('the templates of tasks', () => {
  const doc = { ...reference.doc, f: new Float(1) };

  it.each(reference.templates)('%j', (source, outcome) => {
    const place = { task: 'a task', field: 'doc_to_text' };
    const render = () => new TaskTemplate(source, place).render(doc, { ...place, item: 7 });
    // Python writes a Jinja filter of its own here: random, and HTML's tojson, are refused.
    const refused = /\|(?:random|tojson)/.test(source);
    if (outcome.error !== undefined || refused) expect(render).toThrow(/^task "a task", field "doc_to_text"/);
    else expect(render()).toBe(outcome.is);
  });

  it('stop a template that loops, naming task, field and item', () => {
    const loops = '{% for a in range(99999) %}{% for b in range(99999) %}{{b}}{% endfor %}{% endfor %}';
    const place = { task: 'a task', field: 'doc_to_text', item: 3 };
    expect(() => new TaskTemplate(loops, place).render({}, place)).toThrow(
      /^task "a task", field "doc_to_text", item 3: the template .* was stopped/,
    );
  });
});

describe('metrics', () => {
  const counted = (count: (text: string, right: string) => number[]) =>
    reference.pairs.map(([text, right]) => ({ counts: count(text, right) }));

  it('BLEU and chrF are those of sacrebleu', () => {
    expect(aggregate('bleu', counted(bleuCounts))).toBeCloseTo(reference.bleu, 10);
    expect(reference.pairs.map(([text, right]) => bleu(bleuCounts(text, right)))).toEqual(
      reference.bleuEach.map((value) => expect.closeTo(value, 10)),
    );
    expect(
      aggregate(
        'chrf',
        counted((text, right) => chrfCounts(text, right, 0)),
      ),
    ).toBeCloseTo(reference.chrf, 10);
    expect(
      aggregate(
        'chrf++',
        counted((text, right) => chrfCounts(text, right, 2)),
      ),
    ).toBeCloseTo(reference.chrfpp, 10);
  });

  it('TER is that of sacrebleu', () => {
    const counts = [...reference.pairs, ...reference.edits].map(([text, right]) => ({
      counts: editCounts(text, right),
    }));
    expect(counts.map(({ counts: one }) => editRate(one))).toEqual(
      reference.terEach.map((value) => expect.closeTo(value, 10)),
    );
    expect(aggregate('ter', counts)).toBeCloseTo(reference.ter, 10);
  });

  it.each(reference.classes)('F1 and Matthews of %j are those of scikit-learn', (pairs, f1, matthews) => {
    expect(aggregate('matthews_corrcoef', pairs)).toBeCloseTo(matthews, 12);
    if (f1.error !== undefined) expect(() => aggregate('f1', pairs)).toThrow(/two choices/);
    else expect(aggregate('f1', pairs)).toBeCloseTo(f1.is, 12);
  });

  it("the Brier score is the harness's", () => {
    const items = [[0, [0.7, 0.2, 0.1]] as const, [2, [0.3, 0.3, 0.4]] as const];
    expect(aggregate('brier_score', items)).toBeCloseTo(reference.brier, 12);
  });

  it.each(reference.matches)('exact_match of %j and %j with %j', (text, right, settings, value) => {
    const patterns = (settings.regexes_to_ignore ?? []) as string[];
    const match = exactMatch(text, right, {
      regexesToIgnore: patterns.map((pattern) => new PythonRegex(pattern)),
      ignoreCase: settings.ignore_case === true,
      ignorePunctuation: settings.ignore_punctuation === true,
      ignoreNumbers: settings.ignore_numbers === true,
    });
    expect(match ? 1 : 0).toBe(value);
  });

  it('a bootstrap draws the samples of the harness', async () => {
    const { values, perplexity, median } = reference.bootstrap;
    expect(await standardError('perplexity', values)).toBeCloseTo(perplexity, 9);
    expect(await standardError('median', values, { bootstrap: 2000 })).toBeCloseTo(median, 12);
  });
});
