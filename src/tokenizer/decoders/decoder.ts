import type { Component } from '../component.ts';
import { replacement } from '../normalizers/replace.ts';
import { metaspaceFields } from '../pre-tokenizers/metaspace.ts';
import { byteFallback } from './byte-fallback.ts';
import {
  type DecoderStage,
  type DecoderStageFactory,
  type EmitToken,
  eachToken,
  firstAndOthers,
} from './stage.ts';
import { readStrip, type Strip, stripTokens, TextStrip } from './strip.ts';
import { ByteSpellings, byteAssembly, joined, type TextAssembly } from './text-assembly.ts';
import { bpeDecoder, ctc, wordPiece } from './words.ts';

const STAGES: Readonly<Record<string, (component: Component) => DecoderStageFactory>> = {
  BPEDecoder: bpeDecoder,
  ByteFallback: () => byteFallback,
  CTC: ctc,
  Metaspace: metaspace,
  Replace: (component) => eachToken(replacement(component)),
  Strip: stripTokens,
  WordPiece: wordPiece,
};

/** Steps that join all tokens into one text. */
const JOINS = ['ByteLevel', 'Fuse'] as const;

function metaspace(component: Component): DecoderStageFactory {
  const { mark, scheme } = metaspaceFields(component);
  const spaces = (token: string) => token.replaceAll(mark, ' ');
  return firstAndOthers(scheme === 'never' ? spaces : (token) => token.replaceAll(mark, ''), spaces);
}

/**
 * The field `decoder` of tokenizer.json: first steps on tokens, then the join, then steps on the joined text. Of the
 * latter, Strip processes the text in parts; all others wait for the whole text.
 */
export class Decoder {
  readonly #stages: readonly DecoderStageFactory[];
  readonly #assembly: () => TextAssembly;
  readonly #strips: readonly Strip[];
  readonly #whole: readonly DecoderStageFactory[];

  /** @throws RopewalkError naming a type or a field that is not supported */
  constructor(component: Component | undefined) {
    const parts = component ? flatten(component) : [];
    const join = parts.findIndex(isJoin);
    const before = join < 0 ? parts : parts.slice(0, join);
    const after = join < 0 ? [] : parts.slice(join + 1);
    this.#stages = before.map(stage);
    const spellings = new ByteSpellings();
    const byteLevel = join >= 0 && parts[join]!.json.type === 'ByteLevel';
    this.#assembly = byteLevel ? () => byteAssembly(spellings) : () => joined(component ? '' : ' ');
    const firstOther = after.findIndex((part) => part.json.type !== 'Strip');
    const strips = firstOther < 0 ? after : after.slice(0, firstOther);
    this.#strips = strips.map(readStrip);
    this.#whole = after
      .slice(strips.length)
      .map((part) => (isJoin(part) ? joinStage(part, spellings) : stage(part)));
  }

  /** Starts decoding a text. */
  start(): Decoding {
    return new Decoding(
      this.#stages.map((make) => make()),
      this.#assembly(),
      this.#strips.map((strip) => new TextStrip(strip)),
      this.#whole,
    );
  }
}

function flatten(component: Component): Component[] {
  if (component.json.type === 'Sequence') return component.components('decoders').flatMap(flatten);
  if (isJoin(component)) {
    if (component.json.type === 'ByteLevel') {
      component.flag('add_prefix_space');
      component.flag('trim_offsets');
      component.flag('use_regex', true);
    }
    return [component];
  }
  component.select({
    ...STAGES,
    ...Object.fromEntries(JOINS.map((type) => [type, undefined])),
    Sequence: undefined,
  });
  return [component];
}

function isJoin({ json }: Component): boolean {
  return JOINS.includes(json.type as (typeof JOINS)[number]);
}

function stage(component: Component): DecoderStageFactory {
  return component.select(STAGES)(component);
}

/** `ByteLevel` and `Fuse` after the tokens have been joined. */
function joinStage({ json }: Component, spellings: ByteSpellings): DecoderStageFactory {
  if (json.type === 'Fuse') return eachToken((token) => token);
  return eachToken((token) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(spellings.bytes(token)));
}

/** Decodes one text, token by token. */
export class Decoding {
  readonly #push: EmitToken;
  readonly #stages: readonly DecoderStage[];
  readonly #emitters: EmitToken[];
  readonly #assembly: TextAssembly;
  readonly #strips: readonly TextStrip[];
  readonly #whole: readonly DecoderStageFactory[];
  #text = '';

  constructor(
    stages: readonly DecoderStage[],
    assembly: TextAssembly,
    strips: readonly TextStrip[],
    whole: readonly DecoderStageFactory[],
  ) {
    this.#stages = stages;
    this.#assembly = assembly;
    this.#strips = strips;
    this.#whole = whole;
    this.#emitters = [];
    let emit: EmitToken = (token) => assembly.push(token);
    for (const stage of [...stages].reverse()) {
      this.#emitters.unshift(emit);
      const next = emit;
      emit = (token) => stage.push(token, next);
    }
    this.#push = emit;
  }

  /** Adds a token's spelling. */
  push(token: string): void {
    this.#push(token);
  }

  /** Returns the new text that no later token can change. */
  take(): string {
    const part = this.#stripped(this.#assembly.take());
    if (this.#whole.length === 0) return part;
    this.#text += part;
    return '';
  }

  /** Returns the rest of the text. */
  end(): string {
    for (const [index, stage] of this.#stages.entries()) stage.end(this.#emitters[index]!);
    let text = this.#text + this.#stripped(this.#assembly.end());
    for (const make of this.#whole) text = runAlone(make(), text);
    return text;
  }

  #stripped(part: string): string {
    let rest = part;
    for (const strip of this.#strips) {
      if (rest === '') break;
      rest = strip.push(rest);
    }
    return rest;
  }
}

/** The result of a step for a single token. */
function runAlone(stage: DecoderStage, token: string): string {
  let result = '';
  const emit = (part: string) => {
    result += part;
  };
  stage.push(token, emit);
  stage.end(emit);
  return result;
}
