import { type AST, RegExpParser } from '@eslint-community/regexpp';
import { RopewalkError } from '../../errors.ts';

/** Inclusive code point ranges, in ascending order without overlap. */
export type Ranges = readonly (readonly [number, number])[];

/** A regular language over code points. */
export type Pattern =
  | { readonly set: Ranges }
  | { readonly sequence: readonly Pattern[] }
  | { readonly either: readonly Pattern[] }
  | { readonly repeat: Pattern; readonly least: number; readonly most: number }
  | Assertion;

/** A zero-width condition between two characters. */
export type Assertion =
  /** Nothing precedes. */
  | { readonly begins: true }
  /** The rest of the string is in a language or, if `negative`, is not. */
  | { readonly ahead: Pattern; readonly negative: boolean };

const LAST = 0x10ffff;
export const ANY: Ranges = [[0, LAST]];
const DIGIT: Ranges = [[48, 57]];
const WORD: Ranges = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const LINE_ENDS: Ranges = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];
const ANYTHING: Pattern = { repeat: { set: ANY }, least: 0, most: Number.POSITIVE_INFINITY };
const NOTHING_FOLLOWS: Pattern = {
  ahead: { sequence: [{ set: ANY }, ANYTHING] },
  negative: true,
};
const MOST_DEPTH = 50;
const MOST_LOOK_AHEADS = 16;

function complement(ranges: Ranges): Ranges {
  const rest: [number, number][] = [];
  let next = 0;
  for (const [from, to] of ranges) {
    if (from > next) rest.push([next, from - 1]);
    next = to + 1;
  }
  if (next <= LAST) rest.push([next, LAST]);
  return rest;
}

function union(...all: readonly Ranges[]): Ranges {
  const merged: [number, number][] = [];
  for (const [from, to] of all.flat().sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

const byProperty = new Map<string, Ranges>();

/** The code points of a class such as `\p{L}`, determined by JavaScript's own engine. */
function propertyRanges(name: string): Ranges {
  const known = byProperty.get(name);
  if (known) return known;
  const matches = new RegExp(`^${name}$`, 'u');
  const ranges: [number, number][] = [];
  for (let code = 0; code <= LAST; code++) {
    if (!matches.test(String.fromCodePoint(code))) continue;
    const last = ranges.at(-1);
    if (last && last[1] === code - 1) last[1] = code;
    else ranges.push([code, code]);
  }
  byProperty.set(name, ranges);
  return ranges;
}

/**
 * Parses a JSON Schema `pattern` (ECMAScript, with the u flag; it may match anywhere in the string) into the language
 * of the strings that contain a match. The pattern is never executed, so it cannot take exponential time.
 *
 * @throws RopewalkError for what is not regular or not supported: look-behind, back references and \b.
 */
export function parsePattern(source: string): Pattern {
  if (nesting(source) > MOST_DEPTH)
    throw new RopewalkError(`its groups are nested deeper than ${MOST_DEPTH}`);
  return new PatternReader().untilEnd(parse(source).alternatives, true);
}

function parse(source: string): AST.Pattern {
  try {
    new RegExp(source, 'u');
    return new RegExpParser().parsePattern(source, undefined, undefined, { unicode: true });
  } catch {
    throw new RopewalkError(
      'it is not a regular expression (ECMAScript, u flag: escape ], { and } outside classes, and do not escape letters)',
    );
  }
}

/** The nesting depth of groups: the parser recurses for each. */
function nesting(source: string): number {
  let [depth, deepest, inClass] = [0, 0, false];
  for (let at = 0; at < source.length; at++) {
    const character = source[at];
    if (character === '\\') at++;
    else if (inClass) inClass = character !== ']';
    else if (character === '[') inClass = true;
    else if (character === '(') deepest = Math.max(deepest, ++depth);
    else if (character === ')') depth--;
  }
  return deepest;
}

function refuse(what: string): never {
  throw new RopewalkError(`${what} is not supported; write it with classes, groups, | and repetition`);
}

/** Converts a syntax tree to its language. */
class PatternReader {
  #lookAheads = 0;

  /**
   * Alternatives, each extended by what may follow it up to the end of the string and, if `whole`, by what may
   * precede it. Anchors at their ends are common: they make the extension unnecessary.
   */
  untilEnd(alternatives: readonly AST.Alternative[], whole: boolean): Pattern {
    return either(
      alternatives.map(({ elements }) => {
        const fromStart = !whole || isAnchor(elements[0], 'start');
        const toEnd = isAnchor(elements.at(-1), 'end');
        const body = elements.slice(whole && fromStart ? 1 : 0, toEnd ? -1 : undefined);
        return [...(fromStart ? [] : [ANYTHING]), ...this.#sequence(body), ...(toEnd ? [] : [ANYTHING])];
      }),
    );
  }

  #sequence(elements: readonly AST.Element[]): Pattern[] {
    return elements.map((element) => this.#element(element));
  }

  #element(element: AST.Element): Pattern {
    switch (element.type) {
      case 'Character':
      case 'CharacterSet':
      case 'CharacterClass':
        return { set: setOf(element) };
      case 'Quantifier':
        // Laziness does not affect the language.
        return { repeat: this.#element(element.element), least: element.min, most: element.max };
      case 'Group':
        if (element.modifiers) refuse('(? with flags');
        return this.#group(element);
      case 'CapturingGroup':
        return this.#group(element);
      case 'Assertion':
        return this.#assertion(element);
      case 'Backreference':
        return refuse('a backreference');
      default:
        return refuse(element.raw);
    }
  }

  #group({ alternatives }: AST.Group | AST.CapturingGroup): Pattern {
    return either(alternatives.map(({ elements }) => this.#sequence(elements)));
  }

  #assertion(assertion: AST.Assertion): Pattern {
    switch (assertion.kind) {
      case 'start':
        return { begins: true };
      case 'end':
        return NOTHING_FOLLOWS;
      case 'word':
        return refuse(assertion.raw);
      case 'lookbehind':
        return refuse('a look-behind');
      case 'lookahead':
        if (++this.#lookAheads > MOST_LOOK_AHEADS)
          throw new RopewalkError(`it has more than ${MOST_LOOK_AHEADS} lookaheads`);
        return { ahead: this.untilEnd(assertion.alternatives, false), negative: assertion.negate };
    }
  }
}

function isAnchor(element: AST.Element | undefined, kind: 'start' | 'end'): boolean {
  return element?.type === 'Assertion' && element.kind === kind;
}

function either(sequences: readonly (readonly Pattern[])[]): Pattern {
  const all = sequences.map((sequence): Pattern => ({ sequence }));
  return all.length === 1 ? all[0]! : { either: all };
}

/** The set of characters that one element matches. */
function setOf(element: AST.Character | AST.CharacterSet | AST.CharacterClass): Ranges {
  if (element.type === 'Character') return [[element.value, element.value]];
  if (element.type === 'CharacterSet') return namedSet(element);
  const parts = element.elements.map((part): Ranges => {
    if (part.type === 'CharacterClassRange') return [[part.min.value, part.max.value]];
    if (part.type === 'Character' || part.type === 'CharacterSet') return setOf(part);
    return refuse(part.raw);
  });
  return element.negate ? complement(union(...parts)) : union(...parts);
}

function namedSet(set: AST.CharacterSet): Ranges {
  if (set.kind === 'any') return complement(LINE_ENDS);
  if (set.kind === 'property' || set.kind === 'space') return propertyRanges(set.raw);
  const ranges = set.kind === 'digit' ? DIGIT : WORD;
  return set.negate ? complement(ranges) : ranges;
}
