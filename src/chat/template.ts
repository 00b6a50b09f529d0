import { Environment } from '@huggingface/jinja';
import { RopewalkError } from '../errors.ts';
import { Budget, MAX_ITEMS } from './budget.ts';
import { BoundedInterpreter } from './interpreter.ts';
import { parseTemplate } from './jinja-program.ts';
import { childrenOf, type Node, type Value } from './jinja-values.ts';
import { type ChatMessage, checkMessages } from './messages.ts';
import { type Span, unusedMarks } from './spans.ts';
import { strftime } from './strftime.ts';

export interface RenderOptions {
  /** Whether the text ends with what begins the assistant's next message. Default false, as in transformers. */
  readonly addGenerationPrompt?: boolean;
  /** What the template finds in `bos_token` and `eos_token`; default ''. */
  readonly bosToken?: string;
  readonly eosToken?: string;
  /** The time that `strftime_now` tells; default now. */
  readonly now?: Date;
}

export interface RenderedChat {
  readonly text: string;
  /** Where in `text` (UTF-16) the contents of messages lie: there, special tokens are only text. */
  readonly contentSpans: readonly Span[];
}

/**
 * A chat template: the Jinja program that comes with a model and writes messages as the text that it was trained on.
 *
 * It is not trusted: a rendering has a budget of steps and of text, about a second and a megabyte at most, and sees
 * nothing but the messages. Texts are the same as transformers' `apply_chat_template(..., tokenize=False)`.
 */
export class ChatTemplate {
  readonly #program: Node;
  readonly #literals: string;

  /**
   * @param source the Jinja template
   * @param name what messages call it
   * @throws RopewalkError when it does not parse or is longer than templates are
   */
  constructor(
    readonly source: string,
    readonly name = 'the chat template',
  ) {
    const { program, literals } = parseTemplate(source, name);
    this.#program = program;
    this.#literals = literals;
  }

  /**
   * The template of a tokenizer_config.json: its `chat_template`, of a list of named ones that called `default`.
   *
   * @returns undefined where there is none
   * @throws RopewalkError when the field is neither a text nor a list with a default
   */
  static fromConfig(config: Readonly<Record<string, unknown>>, name: string): ChatTemplate | undefined {
    const field = config.chat_template;
    if (field === undefined || field === null) return undefined;
    if (typeof field === 'string') return new ChatTemplate(field, name);
    const named = Array.isArray(field) ? (field as unknown[]) : [];
    const entry = named.find((item) => nameOf(item) === 'default');
    const source = (entry as { template?: unknown } | undefined)?.template;
    if (typeof source === 'string') return new ChatTemplate(source, name);
    throw new RopewalkError(
      `${name}: "chat_template" is neither a text nor a list with a template called "default"; name one by --template.`,
    );
  }

  /**
   * @throws RopewalkError for messages that are none, for those that the template refuses (with its own words), and
   *   when it takes more time or text than a chat template may
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): RenderedChat {
    checkMessages(messages);
    const { addGenerationPrompt = false, bosToken = '', eosToken = '', now = new Date() } = options;
    const contents = messages.map(({ content }) => content).join('');
    const marks = unusedMarks(this.source + this.#literals + contents + bosToken + eosToken);
    if (!marks) throw new RopewalkError('the messages use all of the private characters of Unicode.');
    const budget = new Budget(this.name, contents.length);
    const scope = new Environment();
    const interpreter = new BoundedInterpreter(scope, budget, marks, this.source.length);
    const variables = {
      ...{ true: true, True: true, false: false, False: false, none: null, None: null },
      raise_exception: (why: unknown) => {
        throw new Refusal(String(why));
      },
      range: (...bounds: unknown[]) => boundedRange(bounds, budget),
      strftime_now: (format: unknown) => {
        budget.spend(20);
        budget.spendText(12 * String(format).length);
        return strftime(now, String(format));
      },
      messages: messages.map(({ role, content }) => ({ role, content })),
      // transformers gives what there is none of as None.
      tools: null,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
      bos_token: bosToken,
      eos_token: eosToken,
    };
    for (const [name, value] of Object.entries(variables)) scope.set(name, value);
    for (const message of childrenOf(scope.lookupVariable('messages'))) {
      interpreter.trace((message.value as Map<string, Value>).get('content')!);
    }
    try {
      const { text, spans } = interpreter.render(this.#program);
      return { text, contentSpans: spans };
    } catch (error) {
      throw this.#readable(error, budget);
    }
  }

  #readable(error: unknown, budget: Budget): unknown {
    if (error instanceof RopewalkError) return error;
    const cause = { cause: error };
    if (error instanceof Refusal) {
      const remedy = /system/i.test(error.message)
        ? 'give what it should say in the first user message instead'
        : 'give messages in the order that it asks for';
      return new RopewalkError(`${this.name} refuses these messages: ${error.message}; ${remedy}.`, cause);
    }
    // The engine's own limits: the stack, and the longest string.
    if (error instanceof RangeError) return budget.exceeded('grows beyond all bounds');
    const why = error instanceof Error ? error.message : String(error);
    return new RopewalkError(`${this.name}: the chat template fails: ${why}`, cause);
  }
}

/** What a template says of messages that it does not take. */
class Refusal extends Error {}

function nameOf(item: unknown): unknown {
  return typeof item === 'object' && item !== null ? (item as { name?: unknown }).name : undefined;
}

function boundedRange(bounds: readonly unknown[], budget: Budget): number[] {
  if (bounds.length < 1 || bounds.length > 3 || !bounds.every(Number.isInteger)) {
    throw new Error('range takes one to three whole numbers');
  }
  const given = bounds as number[];
  const [start, stop, step = 1] = given.length === 1 ? [0, given[0]!] : given;
  if (step === 0) throw new Error('range() arg 3 must not be zero');
  const count = Math.max(0, Math.ceil((stop! - start!) / step));
  if (count > MAX_ITEMS) throw budget.exceeded(`makes a list of over ${MAX_ITEMS} items`);
  budget.spend(count);
  return Array.from({ length: count }, (_, i) => start! + i * step);
}
