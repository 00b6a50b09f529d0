import type { ChatMessage } from './messages.ts';
import type { MessageSpan, RenderedChat } from './rendered.ts';

/** The range of the assistant's text for one of its messages in the rendered chat (UTF-16). */
export interface AssistantTurn {
  /** Where the header that the model is given ends, and its own text begins. */
  readonly start: number;
  /** Where the message's own characters end; the template's characters follow, including the end of the turn. */
  readonly contentEnd: number;
  /** Where the template's output for this message ends. */
  readonly end: number;
  /** Whether nothing follows but what the template writes at the end of the chat. */
  readonly isLast: boolean;
}

/**
 * Finds the assistant's turns by tracking the template: which characters come from which message, and which loop
 * iteration over the messages wrote them. The header is the part of the known header with which the turn begins or, if
 * none is known, everything before the message's characters that is not only white space.
 *
 * @param header the known text before the assistant's words; see `turnFrame`.
 * @param from the first message to consider.
 */
export function assistantTurns(
  messages: readonly ChatMessage[],
  rendered: RenderedChat,
  header: string | undefined,
  from = 0,
): AssistantTurn[] {
  const map = new TurnMap(rendered);
  const turns: AssistantTurn[] = [];
  messages.forEach(({ role }, message) => {
    if (role !== 'assistant' || message < from) return;
    const place = map.find(message);
    if (!place) return;
    const { start, end, contentStart, contentEnd } = place;
    const head = rendered.text.slice(start, contentStart ?? end);
    const begin = start + headerLength(head, header, contentStart === undefined);
    turns.push({
      start: begin,
      contentEnd: Math.max(begin, contentEnd ?? begin),
      end,
      isLast: map.endsWith(message),
    });
  });
  return turns;
}

/** The length of the header in the text before a message's characters. */
function headerLength(head: string, header: string | undefined, isWholeTurn: boolean): number {
  const rest = isWholeTurn ? 0 : head.length;
  // Answers begin immediately: other text there is written by the model, such as the marker of tool calls.
  if (header === '') return 0;
  if (header === undefined) return head.trim() === '' ? 0 : rest;
  let common = 0;
  while (common < header.length && common < head.length && header[common] === head[common]) common++;
  if (common === Math.min(header.length, head.length)) return common;
  // The template's own bos or system message may come first.
  const at = head.lastIndexOf(header);
  return at < 0 ? rest : at + header.length;
}

/** The text before an assistant's words; '' if it is only white space, undefined if they are not found. */
export function headOf(rendered: RenderedChat, message: number): string | undefined {
  const place = new TurnMap(rendered).find(message);
  if (place?.contentStart === undefined) return undefined;
  const head = rendered.text.slice(place.start, place.contentStart);
  return head.trim() === '' ? '' : head;
}

interface Place {
  readonly start: number;
  readonly end: number;
  /** Undefined if the message left no characters. */
  readonly contentStart: number | undefined;
  readonly contentEnd: number | undefined;
}

/** Consecutive pieces of one message. */
interface Run {
  readonly message: number;
  readonly start: number;
  end: number;
}

/** Runs of pieces and loop iterations, by message. */
class TurnMap {
  readonly #rendered: RenderedChat;
  readonly #runs: Run[] = [];
  /** The runs of a message, by index. */
  readonly #runsOf = new Map<number, number[]>();
  /** The iteration of a loop over the messages. */
  readonly #turnOf = new Map<number, MessageSpan>();
  /** The widest iteration of another loop that contains only pieces of one run. */
  readonly #turnOfRun = new Map<number, MessageSpan>();

  constructor(rendered: RenderedChat) {
    this.#rendered = rendered;
    for (const { message, start, end } of rendered.pieces) {
      const last = this.#runs.at(-1);
      if (last?.message === message) last.end = end;
      else {
        const runs = this.#runsOf.get(message);
        if (runs) runs.push(this.#runs.length);
        else this.#runsOf.set(message, [this.#runs.length]);
        this.#runs.push({ message, start, end });
      }
    }
    for (const turn of rendered.turns) this.#take(turn);
  }

  find(message: number): Place | undefined {
    const turn = this.#turnOf.get(message);
    const runs = this.#runsOf.get(message) ?? [];
    const inside = runs.find((run) => turn && this.#isIn(this.#runs[run]!, turn));
    const number = inside ?? (turn ? undefined : runs[0]);
    if (number === undefined) {
      if (!turn) return undefined;
      // The message left no characters: take the whole iteration, up to where another message begins.
      const other = this.#runs[this.#firstRunAfter(turn.start)];
      const end = other && other.message !== message ? Math.min(turn.end, other.start) : turn.end;
      return { start: turn.start, end, contentStart: undefined, contentEnd: undefined };
    }
    const run = this.#runs[number]!;
    const bounds = turn ?? this.#turnOfRun.get(number);
    const before = this.#runs[number - 1]?.end ?? 0;
    const after = this.#runs[number + 1]?.start ?? this.#rendered.text.length;
    return {
      start: Math.max(before, bounds?.start ?? 0),
      end: Math.min(after, bounds?.end ?? this.#rendered.text.length),
      contentStart: run.start,
      contentEnd: run.end,
    };
  }

  /** Whether the last characters from any message are from this one, or there are none. */
  endsWith(message: number): boolean {
    const last = this.#runs.at(-1);
    const turn = this.#turnOf.get(message);
    return !last || last.message === message || (turn !== undefined && turn.start >= last.end);
  }

  #take(turn: MessageSpan): void {
    const { message, start, end } = turn;
    if (message !== undefined) {
      // A template may iterate over the messages several times; the iteration that writes their content counts.
      const known = this.#turnOf.get(message);
      const says = ({ start, end }: MessageSpan) =>
        (this.#runsOf.get(message) ?? []).some((run) => this.#isIn(this.#runs[run]!, { start, end }));
      if (end > start && (!known || (!says(known) && says(turn)))) this.#turnOf.set(message, turn);
      return;
    }
    const first = this.#firstRunAfter(start);
    const run = this.#runs[first];
    if (!run || !this.#isIn(run, turn)) return;
    const next = this.#runs[first + 1];
    if (next && next.start < end) return;
    const known = this.#turnOfRun.get(first);
    if (!known || known.end - known.start < end - start) this.#turnOfRun.set(first, turn);
  }

  #isIn(run: { start: number; end: number }, turn: { start: number; end: number }): boolean {
    return run.start >= turn.start && run.end <= turn.end;
  }

  /** The index of the first run that begins at or after a position, by binary search. */
  #firstRunAfter(position: number): number {
    let [low, high] = [0, this.#runs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#runs[middle]!.start < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
