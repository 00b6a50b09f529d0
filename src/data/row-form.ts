import { type ChatMessage, checkMessages } from '../chat/messages.ts';
import { RopewalkError } from '../errors.ts';

/** What a row becomes: a chat, or a text that is trained as a whole. */
export type TrainingText =
  | {
      readonly messages: readonly ChatMessage[];
      /** The first message whose assistant's words are trained; those before are only read. */
      readonly from: number;
    }
  | { readonly text: string };

/** Which columns hold what; for data whose columns have other names than the usual ones. */
export interface DataColumns {
  /** A list of `{role, content}`, or of ShareGPT's `{from, value}`. */
  readonly messages?: string | undefined;
  /** What is asked, and the answer: texts, or lists of messages. */
  readonly prompt?: string | undefined;
  readonly completion?: string | undefined;
  /** What is to be done, to what (may be empty), and the result. */
  readonly instruction?: string | undefined;
  readonly input?: string | undefined;
  readonly output?: string | undefined;
  /** Read before prompt or instruction, where it is there and not empty. */
  readonly system?: string | undefined;
  /** Plain text. */
  readonly text?: string | undefined;
}

type Role = keyof DataColumns;
type Values = Readonly<Record<string, unknown>>;

/** A form of rows: the columns that must be there, with their usual names, the likeliest first. */
interface Form {
  readonly needs: Readonly<Partial<Record<Role, readonly string[]>>>;
  readonly may: Readonly<Partial<Record<Role, readonly string[]>>>;
  read(column: (role: Role) => unknown): TrainingText;
}

const FORMS: readonly Form[] = [
  {
    needs: { messages: ['messages', 'conversations', 'conversation'] },
    may: {},
    read: (column) => ({ messages: messagesOf(column('messages')), from: 0 }),
  },
  {
    needs: { prompt: ['prompt'], completion: ['completion', 'response'] },
    may: { system: ['system'] },
    read(column) {
      const prompt = turn(column('prompt'), 'user', 'prompt');
      const before = [...systemOf(column('system')), ...prompt];
      const completion = turn(column('completion'), 'assistant', 'completion');
      return { messages: [...before, ...completion], from: before.length };
    },
  },
  {
    needs: { instruction: ['instruction'], output: ['output', 'response'] },
    may: { input: ['input', 'context'], system: ['system'] },
    read(column) {
      const instruction = textOf(column('instruction'), 'instruction');
      const input = optionalText(column('input'), 'input');
      const asked = input === '' ? instruction : `${instruction}\n\n${input}`;
      const before = [...systemOf(column('system')), { role: 'user', content: asked } as const];
      const output = textOf(column('output'), 'output');
      return { messages: [...before, { role: 'assistant', content: output }], from: before.length };
    },
  },
  {
    needs: { text: ['text'] },
    may: {},
    read: (column) => ({ text: textOf(column('text'), 'text') }),
  },
];

/** Reads rows of one form. */
export interface RowReader {
  /** The columns that it reads, by what they hold. */
  readonly columns: DataColumns;
  /** @throws RopewalkError saying which field is wrong, and how. */
  read(values: Values): TrainingText;
}

/**
 * Finds the form of a file's rows by the columns of its first one, or takes it from the columns that are named.
 *
 * @throws RopewalkError when none of the forms has such columns, or named ones are missing or belong to no one form.
 */
export function rowReader(first: Values, named: DataColumns = {}): RowReader {
  const given = (Object.keys(named) as Role[]).filter((role) => named[role] !== undefined);
  const has = (name: string) => Object.hasOwn(first, name);
  const missing = given.map((role) => named[role]!).filter((name) => !has(name));
  if (missing.length > 0)
    throw new RopewalkError(`there is no column ${quoted(missing)}; ${columnsOf(first)}`);
  for (const { needs, may, read } of FORMS) {
    const usual: Partial<Record<Role, readonly string[]>> = { ...needs, ...may };
    if (!given.every((role) => role in usual)) continue;
    const columns: Partial<Record<Role, string>> = {};
    for (const [role, names] of Object.entries(usual) as [Role, readonly string[]][]) {
      const name = named[role] ?? names.find(has);
      if (name !== undefined) columns[role] = name;
    }
    if (!Object.keys(needs).every((role) => role in columns)) continue;
    return {
      columns,
      read: (values) => read((role) => (columns[role] === undefined ? undefined : values[columns[role]])),
    };
  }
  throw new RopewalkError(
    given.length > 0
      ? `the columns ${quoted(given.map((role) => `${role} = ${named[role]}`))} do not make a row; name messages, prompt and completion, instruction and output, or text; ${columnsOf(first)}`
      : `no known form: rows have messages, prompt and completion, instruction (input) and output, or text; ${columnsOf(first)}: say what they hold, by --column prompt=NAME --column completion=NAME`,
  );
}

function columnsOf(values: Values): string {
  return `the columns are ${quoted(Object.keys(values))}`;
}

function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(', ');
}

function textOf(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  const is = value === undefined ? 'is missing' : value === null ? 'is null' : 'is not a text';
  throw new RopewalkError(`the field ${what} ${is}`);
}

function optionalText(value: unknown, what: string): string {
  return value === undefined || value === null ? '' : textOf(value, what);
}

function systemOf(value: unknown): ChatMessage[] {
  const content = optionalText(value, 'system');
  return content === '' ? [] : [{ role: 'system', content }];
}

function turn(value: unknown, role: 'user' | 'assistant', what: string): readonly ChatMessage[] {
  return Array.isArray(value) ? messagesOf(value) : [{ role, content: textOf(value, what) }];
}

/** What ShareGPT's files call the roles. */
const SHAREGPT_ROLES: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
  system: 'system',
};

function messagesOf(value: unknown): readonly ChatMessage[] {
  const messages: unknown = Array.isArray(value) ? value.map(asMessage) : value;
  checkMessages(messages);
  return messages.map(({ role, content }) => ({ role, content }));
}

function asMessage(message: unknown): unknown {
  if (typeof message !== 'object' || message === null || !('from' in message) || 'role' in message)
    return message;
  const { from, value } = message as { from: unknown; value?: unknown };
  return { role: SHAREGPT_ROLES[String(from)] ?? from, content: value };
}
