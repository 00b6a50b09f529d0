import type { Component } from '../component.ts';
import { type DecoderStageFactory, eachToken } from './stage.ts';

/** `Strip`: cuts up to `start` leading and up to `stop` trailing copies of a character off a text. */
export interface Strip {
  readonly content: string;
  readonly start: number;
  readonly stop: number;
}

export function readStrip(component: Component): Strip {
  return {
    content: component.character('content'),
    start: component.count('start'),
    stop: component.count('stop'),
  };
}

/** `text` without up to `strip.start` leading copies. */
function stripStart(text: string, { content, start }: Strip): string {
  let at = 0;
  for (let i = 0; i < start && text.startsWith(content, at); i++) at += content.length;
  return text.slice(at);
}

/** `text` without up to `strip.stop` trailing copies. */
function stripEnd(text: string, { content, stop }: Strip): string {
  let end = text.length;
  for (let i = 0; i < stop && end > 0 && text.endsWith(content, end); i++) end -= content.length;
  return text.slice(0, end);
}

/** `Strip` of each token. */
export function stripTokens(component: Component): DecoderStageFactory {
  const strip = readStrip(component);
  return eachToken((token) => stripEnd(stripStart(token, strip), strip));
}

/** `Strip` of a text that arrives in parts: the start once, the end by buffering what might be the end. */
export class TextStrip {
  readonly #strip: Strip;
  #left: number;
  #held = '';

  constructor(strip: Strip) {
    this.#strip = strip;
    this.#left = strip.start;
  }

  /** Adds the next part and returns what is certain. */
  push(part: string): string {
    let rest = part;
    const { content } = this.#strip;
    while (this.#left > 0 && rest !== '') {
      if (!rest.startsWith(content)) this.#left = 0;
      else {
        rest = rest.slice(content.length);
        this.#left--;
      }
    }
    rest = this.#held + rest;
    const certain = stripEnd(rest, this.#strip);
    this.#held = rest.slice(certain.length);
    return certain;
  }
}
