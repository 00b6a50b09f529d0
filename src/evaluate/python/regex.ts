import { inOtherCases, isWord, RegexError, type RegexNode, widthOf } from './regex-nodes.ts';
import { parseRegex } from './regex-parser.ts';

export { RegexError };

/** The maximum number of steps per search; a pattern that explodes takes more. */
const MAX_STEPS = 3_000_000;

/** A search took too many steps. */
export class RegexTooSlow extends Error {}

type Next = (at: number) => boolean;
/** Matches from a position, then the rest of the pattern. */
type Matcher = (at: number, next: Next) => boolean;

interface Found {
  readonly start: number;
  readonly end: number;
  /** The start and end of each group; -1 if it did not match. Group 0 is the whole match. */
  readonly spans: Int32Array;
}

/**
 * A regular expression of Python's `re`, run by backtracking with a limit on its steps: patterns come with task files
 * and are not trusted, and a model writes the texts.
 */
export class PythonRegex {
  readonly groups: number;
  readonly names: ReadonlyMap<string, number>;
  readonly #match: Matcher;
  #text: readonly number[] = [];
  #spans = new Int32Array(0);
  #steps = 0;

  /** @throws RegexError for a pattern that Python refuses, or with a conditional group. */
  constructor(readonly pattern: string) {
    const { node, groups, names } = parseRegex(pattern);
    this.groups = groups;
    this.names = names;
    this.#match = this.#compile(node);
  }

  /**
   * `re.findall`: for each match the only group, or all groups if there are several, otherwise the whole match.
   *
   * @throws RegexTooSlow for a pattern that explodes on this text.
   */
  findAll(text: string): (string | string[])[] {
    const codes = [...text];
    const slice = (spans: Int32Array, group: number) =>
      spans[2 * group]! < 0 ? '' : codes.slice(spans[2 * group]!, spans[2 * group + 1]!).join('');
    return [...this.#all(text)].map(({ spans }) => {
      if (this.groups < 2) return slice(spans, this.groups);
      return Array.from({ length: this.groups }, (_, i) => slice(spans, i + 1));
    });
  }

  /**
   * `re.sub`.
   *
   * @param replacement with `\1` and `\g<name>` for groups.
   * @param count the maximum number of replacements; 0 for all.
   */
  replace(text: string, replacement: string, count = 0): string {
    const parts = replacementParts(replacement, this);
    const codes = [...text];
    let result = '';
    let done = 0;
    let at = 0;
    for (const { start, end, spans } of this.#all(text)) {
      if (count > 0 && done === count) break;
      result += codes.slice(at, start).join('');
      for (const part of parts) {
        if (typeof part === 'string') result += part;
        else if (spans[2 * part]! >= 0)
          result += codes.slice(spans[2 * part]!, spans[2 * part + 1]!).join('');
      }
      at = end;
      done++;
    }
    return result + codes.slice(at).join('');
  }

  *#all(text: string): Generator<Found, void> {
    this.#text = Array.from(text, (character) => character.codePointAt(0)!);
    this.#steps = 0;
    let from = 0;
    let empty = false;
    while (from <= this.#text.length) {
      const found = this.#search(from, empty);
      if (!found) return;
      yield found;
      from = found.end;
      empty = found.end === found.start;
    }
  }

  /** @param advance whether an empty match at `from` does not count, because the last match ended there. */
  #search(from: number, advance: boolean): Found | undefined {
    for (let start = from; start <= this.#text.length; start++) {
      this.#spans = new Int32Array(2 * (this.groups + 1)).fill(-1);
      let end = -1;
      const matched = this.#guarded(start, (at) => {
        if (advance && start === from && at === start) return false;
        end = at;
        return true;
      });
      if (!matched) continue;
      this.#spans[0] = start;
      this.#spans[1] = end;
      return { start, end, spans: this.#spans };
    }
    return undefined;
  }

  #guarded(start: number, next: Next): boolean {
    try {
      return this.#match(start, next);
    } catch (error) {
      if (error instanceof RangeError) throw new RegexTooSlow('it nests too deeply on this text');
      throw error;
    }
  }

  #step(): void {
    if (++this.#steps > MAX_STEPS)
      throw new RegexTooSlow(`it takes more than ${MAX_STEPS} steps on this text`);
  }

  #compile(node: RegexNode): Matcher {
    switch (node.type) {
      case 'character':
        return (at, next) => {
          this.#step();
          return at < this.#text.length && node.test(this.#text[at]!) && next(at + 1);
        };
      case 'sequence': {
        const parts = node.parts.map((part) => this.#compile(part));
        return parts.reduceRight<Matcher>(
          (rest, part) => (at, next) => part(at, (then) => rest(then, next)),
          (at, next) => next(at),
        );
      }
      case 'choice': {
        const options = node.options.map((option) => this.#compile(option));
        return (at, next) => options.some((option) => option(at, next));
      }
      case 'group':
        return this.#group(node.index, this.#compile(node.body));
      case 'atomic': {
        const body = this.#compile(node.body);
        return (at, next) => {
          let end = -1;
          const matched = body(at, (then) => {
            end = then;
            return true;
          });
          return matched && next(end);
        };
      }
      case 'repeat':
        return node.body.type === 'character' ? this.#run(node, node.body.test) : this.#repeat(node);
      case 'place':
        return (at, next) => this.#isAt(node.at, at) && next(at);
      case 'boundary':
        return (at, next) => {
          this.#step();
          const [before, after] = [at - 1, at].map(
            (i) => i >= 0 && i < this.#text.length && isWord(this.#text[i]!, node.ascii),
          );
          return (before !== after) === node.wanted && next(at);
        };
      case 'look':
        return this.#look(node);
      case 'back':
        return this.#back(node.index, node.ignoreCase);
    }
  }

  #group(index: number, body: Matcher): Matcher {
    return (at, next) => {
      const [start, end] = [this.#spans[2 * index]!, this.#spans[2 * index + 1]!];
      const matched = body(at, (then) => {
        const [before, after] = [this.#spans[2 * index]!, this.#spans[2 * index + 1]!];
        this.#spans[2 * index] = at;
        this.#spans[2 * index + 1] = then;
        if (next(then)) return true;
        this.#spans[2 * index] = before;
        this.#spans[2 * index + 1] = after;
        return false;
      });
      if (!matched) {
        this.#spans[2 * index] = start;
        this.#spans[2 * index + 1] = end;
      }
      return matched;
    };
  }

  /** A repeated character, without a call for each. */
  #run(
    { min, max, greedy }: Extract<RegexNode, { type: 'repeat' }>,
    test: (code: number) => boolean,
  ): Matcher {
    return (at, next) => {
      const most = Math.min(this.#text.length, at + max);
      if (!greedy) {
        for (let end = at; ; end++) {
          this.#step();
          if (end - at >= min && next(end)) return true;
          if (end >= most || !test(this.#text[end]!)) return false;
        }
      }
      let end = at;
      while (end < most && test(this.#text[end]!)) {
        this.#step();
        end++;
      }
      for (; end - at >= min; end--) {
        this.#step();
        if (next(end)) return true;
      }
      return false;
    };
  }

  #repeat({ body, min, max, greedy }: Extract<RegexNode, { type: 'repeat' }>): Matcher {
    const inner = this.#compile(body);
    // A repetition that matches nothing is the last one, as in Python.
    const from = (at: number, count: number, last: number, next: Next): boolean => {
      this.#step();
      if (count < min) return inner(at, (then) => from(then, count + 1, last, next));
      const more = () => count < max && at !== last && inner(at, (then) => from(then, count + 1, at, next));
      return greedy ? more() || next(at) : next(at) || more();
    };
    return (at, next) => from(at, 0, -1, next);
  }

  #look({ behind, wanted, body }: Extract<RegexNode, { type: 'look' }>): Matcher {
    const inner = this.#compile(body);
    const [width] = widthOf(body);
    return (at, next) => {
      this.#step();
      const start = behind ? at - width : at;
      const saved = this.#spans.slice();
      const found = start >= 0 && inner(start, (end) => !behind || end === at);
      if (found !== wanted) {
        this.#spans.set(saved);
        return false;
      }
      if (!wanted) this.#spans.set(saved);
      if (next(at)) return true;
      this.#spans.set(saved);
      return false;
    };
  }

  #back(index: number, ignoreCase: boolean): Matcher {
    return (at, next) => {
      const [start, end] = [this.#spans[2 * index]!, this.#spans[2 * index + 1]!];
      if (start < 0) return false;
      for (let i = start; i < end; i++) {
        this.#step();
        const [a, b] = [this.#text[i]!, this.#text[at + i - start]];
        if (b === undefined) return false;
        if (a !== b && !(ignoreCase && inOtherCases(a).includes(b))) return false;
      }
      return next(at + end - start);
    };
  }

  #isAt(place: Extract<RegexNode, { type: 'place' }>['at'], at: number): boolean {
    this.#step();
    const { length } = this.#text;
    switch (place) {
      case 'start':
        return at === 0;
      case 'lineStart':
        return at === 0 || this.#text[at - 1] === 10;
      case 'end':
        return at === length || (at === length - 1 && this.#text[at] === 10);
      case 'lineEnd':
        return at === length || this.#text[at] === 10;
      case 'veryEnd':
        return at === length;
    }
  }
}

/** The texts and groups of a replacement. @throws RegexError if Python refuses it. */
function replacementParts(template: string, { groups, names }: PythonRegex): (string | number)[] {
  const parts: (string | number)[] = [];
  const known = (index: number) => {
    if (index > groups) throw new RegexError(`the replacement names group ${index}, which does not exist`);
    return index;
  };
  const escapes: Readonly<Record<string, string>> = {
    ...{ a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', '\\': '\\' },
  };
  const rule = /\\(?:g<([^>]*)>|(0[0-7]{0,2}|[1-3][0-7]{2})|([1-9]\d?)|([\s\S]))|[^\\]+|\\$/g;
  for (const [whole, name, octal, digits, other] of template.matchAll(rule)) {
    if (name !== undefined) {
      const index = /^\d+$/.test(name) ? Number(name) : names.get(name);
      if (index === undefined) throw new RegexError(`the replacement names the unknown group ${name}`);
      parts.push(known(index));
    } else if (octal !== undefined) parts.push(String.fromCodePoint(Number.parseInt(octal, 8)));
    else if (digits !== undefined) parts.push(known(Number(digits)));
    else if (other !== undefined) {
      if (escapes[other] === undefined && /[A-Za-z]/.test(other)) {
        throw new RegexError(`bad escape \\${other} in the replacement`);
      }
      parts.push(escapes[other] ?? whole);
    } else if (whole === '\\') throw new RegexError('the replacement ends in a backslash');
    else parts.push(whole);
  }
  return parts;
}
