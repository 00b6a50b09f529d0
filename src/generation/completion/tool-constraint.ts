import { RopewalkError } from '../../errors.ts';
import type { TokenConstraint } from '../../structured/constraint.ts';
import { type CompiledJsonSchema, compileJsonSchema } from '../../structured/json-schema.ts';
import { byteString, Vocabulary } from '../../structured/parser/vocabulary.ts';
import type { JsonSchema } from '../../structured/schema/keywords.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { ToolForm } from './tool-form.ts';

/** A tool that the assistant may call. */
export interface ToolDefinition {
  readonly type: 'function';
  readonly function: {
    readonly name: string;
    readonly description?: string | undefined;
    /** A JSON Schema of the arguments, which are an object; by default any object. */
    readonly parameters?: Readonly<Record<string, unknown>> | undefined;
  };
}

/** Whether the assistant calls tools: as it chooses, at least once, or the tool with this name. */
export type ToolChoice = 'auto' | 'required' | { readonly name: string };

/** A call by the assistant. Its arguments are JSON that is valid under the tool's schema. */
export interface ToolCall {
  readonly name: string;
  readonly arguments: string;
}

/** Tools compiled for a tokenizer and a template's call format. */
export class ToolGrammar {
  readonly vocabulary: Vocabulary;
  readonly calls: CompiledJsonSchema;
  /** Ids between the marker and the JSON, of both, and after it. */
  readonly gap: readonly number[];
  readonly opening: readonly number[];
  readonly closing: readonly number[];
  readonly #marker: string;
  readonly #ends = new Map<number, { readonly completing: number[]; readonly crossing: number[] }>();

  /** @throws RopewalkError naming a schema keyword that cannot be enforced, or an unknown tool. */
  constructor(
    readonly tokenizer: Tokenizer,
    readonly form: ToolForm,
    tools: readonly ToolDefinition[],
    readonly choice: ToolChoice,
  ) {
    const named =
      typeof choice === 'object' ? tools.filter(({ function: tool }) => tool.name === choice.name) : tools;
    if (named.length === 0) {
      const name = typeof choice === 'object' ? choice.name : '';
      throw new RopewalkError(`tool_choice names ${JSON.stringify(name)}, which is not one of the tools.`);
    }
    this.vocabulary = Vocabulary.of(tokenizer);
    const schemas = named.map(({ function: { name, parameters = {} } }) => ({
      type: 'object',
      properties: { name: { const: name }, [form.argumentsField]: { type: 'object', ...parameters } },
      required: ['name', form.argumentsField],
      additionalProperties: false,
    }));
    this.calls = compileJsonSchema(
      (schemas.length === 1 ? schemas[0] : { anyOf: schemas }) as JsonSchema,
      tokenizer,
    );
    const ids = (text: string) => (text === '' ? [] : tokenizer.encode(text, { addSpecialTokens: false }));
    this.gap = ids(form.gap);
    this.opening = ids(form.marker + form.gap);
    this.closing = ids(form.closing);
    this.#marker = byteString(new TextEncoder().encode(form.marker));
  }

  /** The number of tokens that suffice for the shortest call, without the marker. */
  get shortest(): number {
    return this.gap.length + this.calls.shortest + this.closing.length;
  }

  /**
   * Tokens that complete the marker, and those that go beyond it.
   *
   * @param known bytes of the marker at the end of the text.
   */
  ends(known: number): { readonly completing: readonly number[]; readonly crossing: readonly number[] } {
    let ends = this.#ends.get(known);
    if (!ends) {
      ends = { completing: [], crossing: [] };
      const begun = this.#marker.slice(0, known);
      for (const [i, word] of this.vocabulary.words.entries()) {
        const at = (begun + word).indexOf(this.#marker);
        if (at < 0) continue;
        const exact = at + this.#marker.length === begun.length + word.length;
        (exact ? ends.completing : ends.crossing).push(...this.vocabulary.ids[i]!);
      }
      this.#ends.set(known, ends);
    }
    return ends;
  }

  /** The number of the marker's first bytes that a text ends with, fewer than all. */
  begun(text: string): number {
    for (let length = Math.min(text.length, this.#marker.length - 1); length > 0; length--) {
      if (this.#marker.startsWith(text.slice(text.length - length))) return length;
    }
    return 0;
  }

  /** Whether a text ends with the marker. */
  marked(text: string): boolean {
    return this.#marker !== '' && text.endsWith(this.#marker);
  }

  get markerLength(): number {
    return this.#marker.length;
  }
}

type State = 'start' | 'text' | 'forced' | 'call' | 'over';

/**
 * Leaves the model free until it begins a call. From then on, the text must be a call of one of the tools with valid
 * arguments, and enough tokens are reserved to complete it.
 */
export class ToolConstraint implements TokenConstraint {
  readonly #grammar: ToolGrammar;
  readonly #several: boolean;
  readonly #calls: ToolCall[] = [];
  #state: State;
  #left: number;
  /** The end of the free text, in which the marker may have begun. */
  #tail = '';
  #forced: number[] = [];
  /** What follows the forced tokens. */
  #next: 'call' | 'end' = 'call';
  #json: TokenConstraint | undefined;
  #bytes: number[] = [];

  /**
   * @param maxTokens the token limit of the reply.
   * @param several whether more calls may follow the first.
   * @throws RopewalkError if a required call needs more tokens.
   */
  constructor(grammar: ToolGrammar, maxTokens: number, several: boolean) {
    this.#grammar = grammar;
    this.#left = maxTokens;
    const required = grammar.choice !== 'auto';
    this.#several = several && grammar.form.several && !required;
    this.#state = required ? 'forced' : grammar.form.marker === '' ? 'start' : 'text';
    if (!required) return;
    const needed = grammar.shortest + grammar.opening.length - grammar.gap.length;
    if (needed > maxTokens) {
      throw new RopewalkError(
        `the shortest call may take ${needed} tokens, but only ${maxTokens} are to be generated. Raise the number of tokens.`,
      );
    }
    this.#force(grammar.opening, 'call');
  }

  /** Whether the last token is part of a call, and thus not of the text. */
  get calling(): boolean {
    return this.#state !== 'start' && this.#state !== 'text';
  }

  /** The complete calls. */
  get calls(): readonly ToolCall[] {
    return this.#calls;
  }

  get finished(): boolean {
    return this.#state === 'over';
  }

  mask(logits: Float32Array): void {
    if (this.#state === 'forced') {
      const [id] = this.#forced;
      const logit = logits[id!]!;
      logits.fill(Number.NEGATIVE_INFINITY);
      logits[id!] = logit > Number.NEGATIVE_INFINITY ? logit : 0;
    } else if (this.#state === 'call') this.#json!.mask(logits);
    else if (this.#state === 'start') this.#maskStart(logits);
    else if (this.#grammar.form.marker !== '') this.#maskText(logits);
  }

  accept(id: number): void {
    this.#left--;
    if (this.#state === 'forced') {
      this.#forced.shift();
      this.#afterForced();
    } else if (this.#state === 'call') this.#acceptJson(id);
    else {
      const text = this.#grammar.vocabulary.text(id, false) ?? '';
      if (this.#state === 'start' && text.trim() !== '') {
        this.#state = 'text';
        if (!text.trimStart().startsWith('{')) return;
        this.#beginJson(this.#left + 1);
        this.#acceptJson(id);
        return;
      }
      this.#tail = (this.#tail + text).slice(-this.#grammar.markerLength || this.#tail.length + text.length);
      if (!this.#grammar.marked(this.#tail)) return;
      this.#tail = '';
      this.#force(this.#grammar.gap, 'call');
    }
  }

  /** A reply that begins with a brace is a call, and must begin like one. */
  #maskStart(logits: Float32Array): void {
    const { vocabulary, calls, closing } = this.#grammar;
    const fits = this.#left >= calls.shortest + closing.length;
    const allowed = fits ? logits.slice() : undefined;
    if (allowed) {
      calls.constraint({ maxTokens: this.#left - closing.length, continues: true }).mask(allowed);
    }
    for (const [i, word] of vocabulary.words.entries()) {
      if (!word.trimStart().startsWith('{')) continue;
      for (const id of vocabulary.ids[i]!) logits[id] = allowed?.[id] ?? Number.NEGATIVE_INFINITY;
    }
  }

  #maskText(logits: Float32Array): void {
    const { completing, crossing } = this.#grammar.ends(this.#grammar.begun(this.#tail));
    for (const id of crossing) logits[id] = Number.NEGATIVE_INFINITY;
    if (this.#left - 1 >= this.#grammar.shortest) return;
    for (const id of completing) logits[id] = Number.NEGATIVE_INFINITY;
  }

  #force(ids: readonly number[], next: 'call' | 'end'): void {
    this.#forced = [...ids];
    this.#next = next;
    this.#state = 'forced';
    this.#afterForced();
  }

  #afterForced(): void {
    if (this.#forced.length > 0) return;
    if (this.#next === 'call') this.#beginJson(this.#left);
    else this.#state = this.#several ? 'text' : 'over';
  }

  #beginJson(left: number): void {
    const { calls, closing } = this.#grammar;
    this.#json = calls.constraint({ maxTokens: left - closing.length, continues: true });
    this.#bytes = [];
    this.#state = 'call';
  }

  #acceptJson(id: number): void {
    this.#json!.accept(id);
    this.#bytes.push(...this.#grammar.tokenizer.tokenBytes(id)!);
    if (!this.#json!.finished) return;
    const text = new TextDecoder().decode(Uint8Array.from(this.#bytes));
    const call = JSON.parse(text) as Record<string, unknown>;
    const given = JSON.stringify(call[this.#grammar.form.argumentsField]);
    this.#calls.push({ name: call.name as string, arguments: given });
    this.#force(this.#grammar.closing, 'end');
  }
}
