import { option, RopewalkError, said } from '../errors.ts';
import { Budget } from '../jinja/budget.ts';
import { BudgetExceeded, Raised } from '../jinja/errors.ts';
import { run } from '../jinja/interpreter.ts';
import { globals } from '../jinja/library/functions.ts';
import type { Program } from '../jinja/parsing/nodes.ts';
import { parse } from '../jinja/parsing/parser.ts';
import { Text } from '../jinja/text.ts';
import { List, type Value } from '../jinja/values.ts';
import { namedTemplates } from '../tokenizer/named-templates.ts';
import { type ChatMessage, checkMessages } from './messages.ts';
import { describe, type RenderedChat } from './rendered.ts';
import { strftime } from './strftime.ts';
import { TemplateValues } from './template-values.ts';

export interface RenderOptions {
  /** Whether to end with the text that begins the assistant's next message. Default false, as in transformers. */
  readonly addGenerationPrompt?: boolean;
  /** The values of `bos_token` and `eos_token` in the template; undefined there if missing. */
  readonly bosToken?: string;
  readonly eosToken?: string;
  /** The values of other special tokens' names (`pad_token`). */
  readonly otherTokens?: Readonly<Record<string, string>>;
  /** The tools that the assistant may call: JSON schemas of functions, for a template that supports them. */
  readonly tools?: readonly unknown[];
  /** Documents for the answer, for a template that supports them. */
  readonly documents?: readonly unknown[];
  /** The time for `strftime_now`; default now. */
  readonly now?: Date;
}

/** The longest source that is accepted, in characters. The longest known ones have about 20,000. */
const MAX_SOURCE = 1 << 17;

/**
 * A chat template: a model's Jinja program that renders messages in the format that the model was trained on.
 *
 * It is not trusted: a rendering has a budget of steps and text, at most about a second and a megabyte, and has access
 * only to its inputs. Texts are those of transformers' `apply_chat_template(..., tokenize=False)`.
 */
export class ChatTemplate {
  readonly #program: Program;

  /**
   * @param source the Jinja template
   * @param name for messages
   * @param toolUse rendered instead when there are tools: the template named `tool_use` next to this one
   * @throws RopewalkError if it does not parse or is too long
   */
  constructor(
    readonly source: string,
    readonly name = 'the chat template',
    readonly toolUse?: ChatTemplate,
  ) {
    if (source.length > MAX_SOURCE) {
      throw new RopewalkError(
        `${name}: it has ${source.length} characters, more than the limit of ${MAX_SOURCE}: use another chat template.`,
      );
    }
    try {
      this.#program = parse(source);
    } catch (error) {
      const why = error instanceof RangeError ? 'it nests too deeply' : (error as Error).message;
      throw new RopewalkError(`${name}: the chat template is not valid: ${why}`, { cause: error });
    }
  }

  /** Whether it marks the assistant's text with `{% generation %}`. */
  get marksGeneration(): boolean {
    return this.#program.marksGeneration;
  }

  /**
   * The template in a tokenizer_config.json: its `chat_template`; from a list of named ones, `default` and, when there
   * are tools, `tool_use`, as in transformers.
   *
   * @param wanted another one of the list, by name
   * @returns undefined if there is none
   * @throws RopewalkError if the field is neither a string nor a list with a default
   */
  static fromConfig(
    config: Readonly<Record<string, unknown>>,
    name: string,
    wanted?: string,
  ): ChatTemplate | undefined {
    const field = config.chat_template;
    if (field === undefined || field === null) return undefined;
    if (typeof field === 'string') return wanted ? undefined : new ChatTemplate(field, name);
    const named = namedTemplates(field);
    const source = named.get(wanted ?? 'default');
    if (wanted !== undefined) return source === undefined ? undefined : new ChatTemplate(source, name);
    const tools = named.get('tool_use');
    const toolUse = tools === undefined ? undefined : new ChatTemplate(tools, `${name} for tools`);
    if (source !== undefined) return new ChatTemplate(source, name, toolUse);
    const names = [...named.keys()];
    throw new RopewalkError(
      names.length > 0
        ? said`${name}: it has several chat templates, but none is named "default"; choose one (${option('template')}): ${names.join(', ')}.`
        : said`${name}: "chat_template" is neither a string nor a list with a template named "default"; choose one (${option('template')}).`,
    );
  }

  /** This template or the one for tools, depending on whether a chat has tools. */
  for(tools: readonly unknown[] | undefined): ChatTemplate {
    return tools === undefined ? this : (this.toolUse ?? this);
  }

  /**
   * @throws RopewalkError for invalid messages, for messages that the template refuses (with its own message), for
   *   tools, documents and tool calls that it does not write, and if it exceeds its budget of time or text
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): RenderedChat {
    const chosen = this.for(options.tools);
    if (chosen !== this) return chosen.render(messages, options);
    checkMessages(messages);
    const { addGenerationPrompt = false, bosToken, eosToken, now = new Date() } = options;
    const values = new TemplateValues();
    const given = new Map<string, Value>(globals((format) => strftime(now, format)));
    given.set('messages', new List(messages.map((message, i) => values.message(message, i))));
    given.set('tools', values.list('tools', options.tools));
    given.set('documents', values.list('documents', options.documents));
    given.set('add_generation_prompt', addGenerationPrompt);
    const tokens = { bos_token: bosToken, eos_token: eosToken, ...options.otherTokens };
    for (const [name, token] of Object.entries(tokens)) {
      if (token !== undefined) given.set(name, new Text(token));
    }
    const budget = new Budget(values.length, messages.length);
    try {
      const rendered = describe(run(this.#program, given, budget), values.sources, this.marksGeneration);
      this.#checkWritten(messages, options, rendered);
      return rendered;
    } catch (error) {
      throw this.#readable(error);
    }
  }

  /** Refuses inputs that the template silently omits, if the answer depends on them. */
  #checkWritten(messages: readonly ChatMessage[], options: RenderOptions, { fields }: RenderedChat): void {
    const refuse = (what: string, remedy: string) => {
      throw new RopewalkError(`${this.name} does not write ${what}; ${remedy}.`);
    };
    if (fields.has('*')) return; // Some of the text comes from several sources at once.
    for (const field of ['tools', 'documents'] as const) {
      if ((options[field]?.length ?? 0) > 0 && !fields.has(field)) {
        refuse(`the ${field}`, `omit them, or use a template that supports ${field}`);
      }
    }
    messages.forEach(({ role, content, tool_calls: calls }, i) => {
      const where = `message ${i + 1}`;
      if ((calls?.length ?? 0) > 0 && !fields.has(`${i}.tool_calls`)) {
        refuse(`the tool calls of ${where}`, 'omit them, or use a template that supports tools');
      }
      if (role === 'tool' && (content?.length ?? 0) > 0 && !fields.has(`${i}.content`)) {
        refuse(`${where} of the role tool`, 'use a template that supports tools');
      }
    });
  }

  #readable(error: unknown): unknown {
    if (error instanceof RopewalkError) return error;
    const cause = { cause: error };
    if (error instanceof Raised) {
      const remedy = /system/i.test(error.message)
        ? 'put its content into the first user message instead'
        : 'put the messages in the order that it requires';
      return new RopewalkError(`${this.name} refuses these messages: ${error.message}; ${remedy}.`, cause);
    }
    // RangeError: the engine's own limits, its stack and its longest string.
    if (error instanceof BudgetExceeded || error instanceof RangeError) {
      const what = error instanceof BudgetExceeded ? error.message : 'grows without bound';
      return new RopewalkError(
        `${this.name}: it ${what} and was stopped; it is damaged or hostile: use another chat template.`,
        cause,
      );
    }
    const why = error instanceof Error ? error.message : String(error);
    return new RopewalkError(`${this.name}: the chat template fails: ${why.slice(0, 300)}`, cause);
  }
}
