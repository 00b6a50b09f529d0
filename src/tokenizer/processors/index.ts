import { Component } from '../component.ts';
import { isObject } from '../tokenizer-schema.ts';

/** What the post-processor adds around a text; it changes nothing inside. */
export interface Surroundings {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Sequences of ids, one of which contains the text; a processor may leave several. */
type Encoding = { readonly ids: readonly number[] } | Surroundings;
type Processor = (encodings: readonly Encoding[]) => Encoding[];

const BUILDERS: Readonly<Record<string, (component: Component) => Processor>> = {
  ByteLevel: byteLevel,
  TemplateProcessing: template,
  BertProcessing: (component) => bert(component, 'bert'),
  RobertaProcessing: (component) => {
    component.flag('trim_offsets');
    component.flag('add_prefix_space');
    return bert(component, 'roberta');
  },
  Sequence: (component) => {
    const processors = component.components('processors').map(createProcessor);
    return (encodings) => processors.reduce<Encoding[]>((all, processor) => processor(all), [...encodings]);
  },
};

function createProcessor(component: Component): Processor {
  return component.select(BUILDERS)(component);
}

/**
 * What the field `post_processor` adds before and after a text when special tokens are added.
 *
 * @throws RopewalkError naming a type or a field that is not supported
 */
export function createSurroundings(component: Component | undefined): Surroundings {
  const text: Surroundings = { before: [], after: [] };
  if (!component) return text;
  const encodings = createProcessor(component)([text]);
  const at = encodings.findIndex((encoding) => 'before' in encoding);
  const whole = encodings[at];
  if (!whole || !('before' in whole) || encodings.slice(at + 1).some((encoding) => 'before' in encoding)) {
    return component.fail('does not put the text into its result exactly once');
  }
  const ids = (all: readonly Encoding[]) =>
    all.flatMap((encoding) => ('ids' in encoding ? [...encoding.ids] : []));
  return {
    before: [...ids(encodings.slice(0, at)), ...whole.before],
    after: [...whole.after, ...ids(encodings.slice(at + 1))],
  };
}

/** `ByteLevel` only affects offsets. */
function byteLevel(component: Component): Processor {
  component.flag('add_prefix_space');
  component.flag('trim_offsets');
  component.flag('use_regex', true);
  return (encodings) => [...encodings];
}

function surround(encoding: Encoding, before: readonly number[], after: readonly number[]): Encoding {
  if ('ids' in encoding) return { ids: [...before, ...encoding.ids, ...after] };
  return { before: [...before, ...encoding.before], after: [...encoding.after, ...after] };
}

/** `BertProcessing` and `RobertaProcessing`: cls and sep; sequences left by an earlier processor count as a pair. */
function bert(component: Component, kind: 'bert' | 'roberta'): Processor {
  const cls = tokenAndId(component, 'cls');
  const sep = tokenAndId(component, 'sep');
  return (encodings) =>
    encodings.map((encoding, index) => {
      if (index === 0) return surround(encoding, [cls], [sep]);
      return surround(encoding, kind === 'roberta' ? [sep] : [], [sep]);
    });
}

function tokenAndId(component: Component, field: string): number {
  const pair = component.list(field);
  if (pair.length === 2 && typeof pair[0] === 'string' && isId(pair[1])) return pair[1];
  return component.fail('is not a token and its id', field);
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
}

/** `TemplateProcessing`: special tokens and the text in the order of the file's template. */
function template(component: Component): Processor {
  const tokens = specialTokens(component);
  const templates = ['single', 'pair'].map((field) => {
    const pieces = component.list(field);
    return pieces.map((json, index) => {
      const piece = Component.of(json, `${component.path}.${field}[${index}]`, component.source);
      return templatePiece(piece, tokens);
    });
  });
  return (encodings) => {
    const pieces = templates[encodings.length - 1];
    if (!pieces) return component.fail('follows a processor that leaves more than two sequences');
    return pieces.map((piece) => {
      if (typeof piece !== 'number') return { ids: piece };
      return (
        encodings[piece] ?? component.fail('has a template with the second of two texts where there is one')
      );
    });
  };
}

/** The ids of a special token, or the index of a sequence. */
function templatePiece(piece: Component, tokens: ReadonlyMap<string, number[]>): number[] | number {
  const { Sequence: sequence, SpecialToken: special } = piece.json;
  if (isObject(sequence)) {
    if (sequence.id === 'A') return 0;
    if (sequence.id === 'B') return 1;
    return piece.fail('is neither "A" nor "B"', 'Sequence.id');
  }
  if (!isObject(special) || typeof special.id !== 'string') {
    return piece.fail('is neither a Sequence nor a SpecialToken with its id');
  }
  return tokens.get(special.id) ?? piece.fail('is not among "special_tokens"', 'SpecialToken.id');
}

function specialTokens(component: Component): Map<string, number[]> {
  const json = component.json.special_tokens;
  if (!isObject(json)) return component.fail('is missing or is not an object', 'special_tokens');
  const all = new Map<string, number[]>();
  for (const [name, token] of Object.entries(json)) {
    const ids = isObject(token) ? token.ids : undefined;
    if (!Array.isArray(ids) || !Array.from(ids).every(isId)) {
      return component.fail(`gives ${JSON.stringify(name).slice(0, 60)} no ids`, 'special_tokens');
    }
    all.set(name, ids);
  }
  return all;
}
