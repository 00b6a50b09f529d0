import { type ChatMessage, checkMessages, contentText } from '../chat/messages.ts';
import { option, RopewalkError, said } from '../errors.ts';
import { asMessage, parsedList } from './row-message.ts';

/** A chat to train on. */
export interface TrainingChat {
  readonly messages: readonly ChatMessage[];
  /** The first message whose assistant text is trained; earlier ones are only context. */
  readonly from: number;
  /** JSON schemas of the tools that the assistant may call. */
  readonly tools?: readonly unknown[] | undefined;
  /** Documents that its answers refer to. */
  readonly documents?: readonly unknown[] | undefined;
}

/** What a row becomes: a chat, or a text that is trained as a whole. */
export type TrainingText = TrainingChat | { readonly text: string };

/** Column names by role, for data with unusual column names. */
export interface DataColumns {
  /** A list of `{role, content}`, or of ShareGPT's `{from, value}`. */
  readonly messages?: string | undefined;
  /** The question and the answer: strings, or lists of messages. */
  readonly prompt?: string | undefined;
  readonly completion?: string | undefined;
  /** The task, its input (may be empty), and the result. */
  readonly instruction?: string | undefined;
  readonly input?: string | undefined;
  readonly output?: string | undefined;
  /** The system message, if present and not empty; with messages, only if these have none of their own. */
  readonly system?: string | undefined;
  /** Earlier turns of an instruction or a prompt: a list of pairs of question and answer. */
  readonly history?: string | undefined;
  /** Tools that the assistant may call: a list of JSON schemas, for a template that uses them. */
  readonly tools?: string | undefined;
  /** Documents that answers refer to: a list of objects, for a template that uses them. */
  readonly documents?: string | undefined;
  /** Plain text. */
  readonly text?: string | undefined;
}

type Role = keyof DataColumns;
type Values = Readonly<Record<string, unknown>>;

/** A form of rows: required columns with their usual names, the likeliest first, and optional ones. */
interface Form {
  readonly needs: Readonly<Partial<Record<Role, readonly string[]>>>;
  readonly may: Readonly<Partial<Record<Role, readonly string[]>>>;
  read(column: (role: Role) => unknown): TrainingText;
}

const SYSTEM = { system: ['system'], tools: ['tools'], documents: ['documents'] } as const;
const BEFORE = { ...SYSTEM, history: ['history'] } as const;

const FORMS: readonly Form[] = [
  {
    needs: { messages: ['messages', 'conversations', 'conversation'] },
    may: SYSTEM,
    read: (column) => ({
      messages: withSystem(column('system'), messagesOf(column('messages'))),
      from: 0,
      ...besides(column),
    }),
  },
  {
    needs: { prompt: ['prompt'], completion: ['completion', 'response'] },
    may: BEFORE,
    read(column) {
      const prompt = turn(column('prompt'), 'user', 'prompt');
      return answered(column, prompt, turn(column('completion'), 'assistant', 'completion'));
    },
  },
  {
    needs: { instruction: ['instruction'], output: ['output', 'response'] },
    may: { input: ['input', 'context'], ...BEFORE },
    read(column) {
      const instruction = textOf(column('instruction'), 'instruction');
      const input = optionalText(column('input'), 'input');
      const content = input === '' ? instruction : `${instruction}\n\n${input}`;
      const output = textOf(column('output'), 'output');
      return answered(column, [{ role: 'user', content }], [{ role: 'assistant', content: output }]);
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
  /** The columns that have been read so far, by role. */
  readonly columns: DataColumns;
  /** Whether rows are plain texts, which need no chat template. */
  readonly isText: boolean;
  /** @throws RopewalkError naming the invalid field and the reason. */
  read(values: Values): TrainingText;
  /** Call after the last row. @throws RopewalkError if a named column was in no row at all. */
  finish(): void;
}

/**
 * Finds the form of a file's rows from the columns of its first row, or from the named columns. Optional columns are
 * looked up in each row, since JSON omits missing fields.
 *
 * @throws RopewalkError if no form has such columns, or named columns are missing or do not belong to one form.
 */
export function rowReader(first: Values, named: DataColumns = {}): RowReader {
  const given = (Object.keys(named) as Role[]).filter((role) => named[role] !== undefined);
  const has = (name: string) => Object.hasOwn(first, name);
  for (const { needs, may, read } of FORMS) {
    const usual: Partial<Record<Role, readonly string[]>> = { ...needs, ...may };
    if (!given.every((role) => role in usual)) continue;
    const absent = given.map((role) => named[role]!).filter((name, i) => given[i]! in needs && !has(name));
    if (absent.length > 0) throw noColumns(absent, first);
    const found = (Object.keys(needs) as Role[]).every((role) =>
      named[role] ? true : needs[role]!.some(has),
    );
    if (!found) continue;
    const columns: Partial<Record<Role, string>> = {};
    return {
      columns,
      isText: 'text' in needs,
      read: (values) =>
        read((role) => {
          const name = columnIn(values, role, named[role] ?? usual[role] ?? [], role in needs);
          if (name === undefined) return undefined;
          columns[role] ??= name;
          return values[name];
        }),
      finish() {
        const never = given.filter((role) => columns[role] === undefined).map((role) => named[role]!);
        if (never.length > 0) throw noColumns(never, first);
      },
    };
  }
  const missing = given.map((role) => named[role]!).filter((name) => !has(name));
  if (missing.length > 0) throw noColumns(missing, first);
  throw new RopewalkError(
    given.length > 0
      ? `the columns ${quoted(given.map((role) => `${role} = ${named[role]}`))} do not form a row; name messages, prompt and completion, instruction and output, or text; ${columnsOf(first)}`
      : said`no known form: rows have messages, prompt and completion, instruction (input) and output, or text; ${columnsOf(first)}: name them with ${option('columns', { prompt: 'NAME', completion: 'NAME' })}`,
  );
}

/**
 * The column of a row for a role: the named one, else the likeliest that has a value.
 *
 * @throws RopewalkError if two optional columns have different values.
 */
function columnIn(
  values: Values,
  role: Role,
  names: string | readonly string[],
  isNeeded: boolean,
): string | undefined {
  if (typeof names === 'string') return Object.hasOwn(values, names) ? names : undefined;
  const there = names.filter((name) => Object.hasOwn(values, name));
  const filled = there.filter((name) => values[name] !== null && values[name] !== '');
  const [one, other] = filled;
  if (!isNeeded && other !== undefined && values[one!] !== values[other]) {
    throw new RopewalkError(
      said`the columns ${quoted([one!, other])} both have values; say which of them is the ${role} with ${option('columns', { [role]: one! })}`,
    );
  }
  return one ?? there[0];
}

function noColumns(names: readonly string[], row: Values): RopewalkError {
  return new RopewalkError(`there is no column ${quoted(names)}; ${columnsOf(row)}`);
}

function columnsOf(values: Values): string {
  return `the columns are ${quoted(Object.keys(values))}`;
}

function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(', ');
}

function textOf(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  const is = value === undefined ? 'is missing' : value === null ? 'is null' : 'is not a string';
  throw new RopewalkError(`the field ${what} ${is}`);
}

function optionalText(value: unknown, what: string): string {
  return value === undefined || value === null ? '' : textOf(value, what);
}

/** An answer with its context: the system message, earlier turns, and the question. */
function answered(
  column: (role: Role) => unknown,
  asked: readonly ChatMessage[],
  answer: readonly ChatMessage[],
): TrainingText {
  const before = withSystem(column('system'), [...historyOf(column('history')), ...asked]);
  return { messages: [...before, ...answer], from: before.length, ...besides(column) };
}

/** What the template receives besides the messages. An empty or null column counts as missing. */
function besides(column: (role: Role) => unknown): Pick<TrainingChat, 'tools' | 'documents'> {
  const [tools, documents] = [
    objectsOf(column('tools'), 'tools'),
    objectsOf(column('documents'), 'documents'),
  ];
  return { ...(tools && { tools }), ...(documents && { documents }) };
}

function objectsOf(value: unknown, what: 'tools' | 'documents'): readonly unknown[] | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const list = parsedList(value, what);
  const isObject = (item: unknown) => typeof item === 'object' && item !== null && !Array.isArray(item);
  if (Array.isArray(list) && list.every(isObject)) return list as unknown[];
  const example =
    what === 'tools'
      ? '[{"type": "function", "function": {"name": …, "parameters": …}}]'
      : '[{"title": …, "text": …}]';
  throw new RopewalkError(`the field ${what} is not a list of objects; give ${example}`);
}

/**
 * @throws RopewalkError if the messages already begin with another system message, because it is unclear which is
 *   meant.
 */
function withSystem(value: unknown, messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const content = optionalText(value, 'system');
  if (content === '') return messages;
  const own = messages.find(({ role }) => role === 'system');
  if (own && contentText(own) === content) return messages;
  if (own) {
    throw new RopewalkError(
      'the row has a system message and another one in the column system; keep one of the two',
    );
  }
  return [{ role: 'system', content }, ...messages];
}

/** Earlier turns as pairs, the form of Alpaca's multi-turn files. */
function historyOf(value: unknown): ChatMessage[] {
  const pairs = value === undefined || value === null || value === '' ? [] : parsedList(value, 'history');
  const wrong = 'the field history is not a list of pairs of question and answer';
  if (!Array.isArray(pairs)) throw new RopewalkError(wrong);
  return pairs.flatMap((pair: unknown): ChatMessage[] => {
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((text) => typeof text === 'string'))
      throw new RopewalkError(wrong);
    const [asked, answer] = pair as [string, string];
    return [
      { role: 'user', content: asked },
      { role: 'assistant', content: answer },
    ];
  });
}

function turn(value: unknown, role: 'user' | 'assistant', what: string): readonly ChatMessage[] {
  return Array.isArray(value) ? messagesOf(value) : [{ role, content: textOf(value, what) }];
}

function messagesOf(value: unknown): readonly ChatMessage[] {
  const list = parsedList(value, 'messages');
  const messages: unknown = Array.isArray(list) ? list.map(asMessage) : list;
  checkMessages(messages);
  return messages;
}
