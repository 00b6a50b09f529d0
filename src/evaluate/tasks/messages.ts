import { isSpace } from '../python/text.ts';

/** A turn of a prompt: as a chat message, or as text with the delimiter before the next one. */
export interface Turn {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
  readonly delimiter: string;
}

/** Joins two texts, with a delimiter if neither has white space at the joint. */
export function delimited(before: string, after: string, delimiter: string): string {
  if (before === '' || after === '') return before + after;
  return isSpace(before.at(-1)!) || isSpace(after[0]!) ? before + after : before + delimiter + after;
}

export interface QuestionAndAnswer {
  readonly question: string;
  /** Undefined for the question that the model answers. */
  readonly answer: string | undefined;
  /** The beginning of the answer. */
  readonly prefix: string | undefined;
  readonly targetDelimiter: string;
  readonly fewshotDelimiter: string;
}

/** A question and its answer as turns; the beginning of a missing answer is a turn too. */
export function questionTurns(given: QuestionAndAnswer): Turn[] {
  const { question, answer, prefix = '', targetDelimiter, fewshotDelimiter } = given;
  const answered = answer !== undefined && answer !== '';
  const needsDelimiter =
    prefix !== '' && question !== '' && !isSpace(question.at(-1)!) && !isSpace(prefix[0]!);
  const delimiter = (answered && prefix === '') || needsDelimiter ? targetDelimiter : '';
  const turns: Turn[] = [{ role: 'user', content: question, delimiter }];
  if (answered) {
    turns.push({ role: 'assistant', content: delimited(prefix, answer, ' '), delimiter: fewshotDelimiter });
  } else if (prefix !== '') turns.push({ role: 'assistant', content: prefix, delimiter: '' });
  return turns;
}

/** Turns as one text. */
export function turnsText(turns: readonly Turn[]): string {
  return turns.map(({ content, delimiter }) => content + delimiter).join('');
}

/** All questions and answers in one user message, like few-shot prompts for chat models without turns. */
export function singleTurn(turns: readonly Turn[]): Turn[] {
  const system = turns[0]?.role === 'system' ? [turns[0]] : [];
  const rest = turns.slice(system.length);
  const last = rest.at(-1)!;
  const asked = last.role === 'assistant' ? rest.slice(0, -1) : rest;
  const joined = asked.map((turn, i) =>
    i === asked.length - 1 ? turn.content : turn.content + turn.delimiter,
  );
  const user: Turn = { role: 'user', content: joined.join(''), delimiter: '' };
  return [...system, user, ...(last.role === 'assistant' ? [last] : [])];
}
