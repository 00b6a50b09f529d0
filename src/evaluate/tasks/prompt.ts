import { RopewalkError } from '../../errors.ts';
import { asInteger, type Doc, isList, type PythonValue } from '../python/values.ts';
import type { Wording } from './config.ts';
import type { FewshotSampler } from './fewshot.ts';
import type { TaskFields } from './fields.ts';
import { delimited, questionTurns, singleTurn, type Turn, turnsText } from './messages.ts';
import { placeText } from './template.ts';

/** How turns become the text for a chat model; undefined for plain text. */
interface ChatForm {
  /** @param continues whether the last turn is the beginning of an answer, which the model continues. */
  render(turns: readonly Turn[], continues: boolean): string;
  /** Whether examples are separate turns; otherwise they are in the single user message. */
  readonly multiturn: boolean;
  /** A system message before the task's description. */
  readonly system: string | undefined;
}

export interface PromptOptions {
  readonly shots: number;
  readonly chat: ChatForm | undefined;
  readonly system?: string | undefined;
}

/**
 * The text before the answer: description, examples, question, and the beginning of the answer.
 *
 * @param multipleInput whether the choices are questions with a common answer: then there is one text for each.
 */
export function promptOf(
  fields: TaskFields,
  sampler: FewshotSampler,
  doc: Doc,
  item: number,
  multipleInput: boolean,
  { shots, chat, system }: PromptOptions,
): string | readonly string[] {
  const { wording, fewshot } = fields.config;
  const turns: Turn[] = [];
  const first = delimited(system ?? '', fields.description(doc, item), wording.fewshotDelimiter);
  if (first !== '') turns.push({ role: 'system', content: first, delimiter: '' });
  for (const example of sampler.sample(shots, doc)) {
    turns.push(...exampleTurns(fields, example, item, fewshot.wording, multipleInput));
  }
  const prefix = fields.prefix(doc, item);
  const ask = (question: string, targetDelimiter: string) => {
    const asked = questionTurns({
      question,
      answer: undefined,
      prefix,
      targetDelimiter,
      fewshotDelimiter: '',
    });
    return written([...turns, ...asked], prefix !== undefined && prefix !== '', chat);
  };
  if (multipleInput) return fields.choices(doc, item)!.map((question) => ask(question, ''));
  return ask(requireText(fields.text(doc, item), fields, 'doc_to_text', item), wording.targetDelimiter);
}

function written(turns: readonly Turn[], continues: boolean, chat: ChatForm | undefined): string {
  if (!chat) return turnsText(turns);
  return chat.render(chat.multiturn ? turns : singleTurn(turns), continues);
}

function exampleTurns(
  fields: TaskFields,
  example: Doc,
  item: number,
  wording: Wording,
  multipleInput: boolean,
): Turn[] {
  const choices = fields.choices(example, item, wording);
  const text = fields.text(example, item, wording);
  const number = asInteger(text);
  const isChoice = multipleInput && number !== undefined;
  const question = isChoice ? (choices?.[number] ?? '') : requireText(text, fields, 'doc_to_text', item);
  return questionTurns({
    question,
    answer: answerText(fields, fields.target(example, item, wording), isChoice ? undefined : choices, item),
    prefix: fields.prefix(example, item, wording),
    targetDelimiter: wording.targetDelimiter,
    fewshotDelimiter: wording.fewshotDelimiter,
  });
}

/** The answer of an example: a choice by its number, the first of several, or a text. */
function answerText(
  fields: TaskFields,
  target: PythonValue,
  choices: readonly string[] | undefined,
  item: number,
): string | undefined {
  if (target === null) return undefined;
  const number = asInteger(target);
  let answer: PythonValue | undefined = isList(target) ? target[0] : target;
  if (choices && number !== undefined) answer = choices.at(number);
  if (typeof answer === 'string') return answer;
  const where = placeText({ task: fields.config.name, field: 'doc_to_target', item });
  const shown = JSON.stringify(target);
  throw new RopewalkError(
    number !== undefined && choices
      ? `${where}: an example before it has the answer ${shown}, but there are ${choices.length} choices, numbered from 0`
      : `${where}: the answer of an example before it must be a text or the number of a choice, but is ${shown}`,
  );
}

function requireText(value: PythonValue, fields: TaskFields, field: string, item: number): string {
  if (typeof value === 'string') return value;
  const where = placeText({ task: fields.config.name, field, item });
  throw new RopewalkError(`${where}: the question must be a text, but is ${JSON.stringify(value)}`);
}
