import { createInterface } from 'node:readline';
import pc from 'picocolors';
import { RopewalkError } from '../../errors.ts';
import type { ChatTexts } from './chat-texts.ts';
import type { Conversation } from './conversation.ts';
import { BRACKETED_PASTE, PasteInput, unmarked } from './paste-input.ts';
import { printable } from './printable.ts';

export interface ChatTerminal {
  readonly input: NodeJS.ReadableStream;
  /** Replies and other output for the user. */
  readonly output: NodeJS.WritableStream;
  /** Registers a callback for Ctrl-C where the terminal turns it into a signal; returns a function that removes it. */
  readonly onInterrupt: (callback: () => void) => () => void;
}

const PROMPT = '> ';
const CONTINUED = '… ';

type Line = { readonly text: string } | 'interrupted' | 'ended';

/** A message, or a typed command. */
interface Written {
  readonly text: string;
  readonly isCommand: boolean;
}

/**
 * An interactive chat: reads messages and commands until the user ends it.
 *
 * The line editor exists only while a line is edited, when it controls the terminal. While a reply is generated, the
 * terminal is as the shell left it, so that Ctrl-C is a signal, which reaches a busy program.
 */
export class InteractiveChat {
  readonly #input: PasteInput;
  #history: string[] = [];
  /** Lines that arrived together, as when several are pasted. */
  #waiting: string[] = [];
  /** The beginning of a line that arrived with another one. */
  #begun = '';
  /** The current action of Ctrl-C; none between a reply and the next prompt. */
  #interrupt = () => {};

  readonly #conversation: Conversation;
  readonly #texts: ChatTexts;
  readonly #terminal: ChatTerminal;

  constructor(conversation: Conversation, texts: ChatTexts, terminal: ChatTerminal) {
    this.#conversation = conversation;
    this.#texts = texts;
    this.#terminal = terminal;
    this.#input = new PasteInput(terminal.input);
  }

  async run(): Promise<void> {
    const dispose = this.#terminal.onInterrupt(() => this.#interrupt());
    try {
      await this.#talk();
    } finally {
      dispose();
    }
  }

  async #talk(): Promise<void> {
    this.#note(this.#texts.welcome);
    let leaving = false;
    for (;;) {
      const line = await this.#message();
      if (line === 'ended') return;
      if (line === 'interrupted') {
        if (leaving) return;
        leaving = true;
        this.#note(this.#texts.leave);
        continue;
      }
      leaving = false;
      try {
        if (await this.#act(line)) return;
      } catch (error) {
        if (!(error instanceof RopewalkError)) throw error;
        const message = printable(error.message.replaceAll(/\s*\n\s*/g, ' '));
        this.#terminal.output.write(`${pc.red('ropewalk:')} ${message}\n`);
      }
    }
  }

  /** Executes a line. Returns whether the chat is over. */
  async #act({ text: line, isCommand }: Written): Promise<boolean> {
    const conversation = this.#conversation;
    const texts = this.#texts;
    if (/^[ \t\n]*$/.test(line)) return false;
    if (!isCommand) {
      await this.#reply(line);
      return false;
    }
    if (line.startsWith('//')) {
      await this.#reply(line.slice(1));
      return false;
    }
    const [, command, file] = /^(\/\S*)\s*(.*?)\s*$/s.exec(line)!;
    switch (command) {
      case '/exit':
      case '/quit':
        return true;
      case '/help':
        this.#note(texts.help);
        break;
      case '/reset':
        conversation.reset();
        this.#note(texts.reset);
        break;
      case '/save':
      case '/load':
        if (!file) this.#note(texts.needsFile(command));
        else if (command === '/load') {
          await conversation.load(file);
          this.#note(texts.loaded(file, conversation.messages.length));
        } else if (conversation.isEmpty) this.#note(texts.empty);
        else {
          await conversation.save(file);
          this.#note(texts.saved(file, conversation.messages.length));
        }
        break;
      default:
        this.#note(texts.unknown(command!));
    }
    return false;
  }

  async #reply(message: string): Promise<void> {
    const { output } = this.#terminal;
    const controller = new AbortController();
    this.#interrupt = () => controller.abort();
    try {
      const end = await this.#conversation.reply(
        message,
        (piece) => output.write(printable(piece)),
        controller.signal,
      );
      const note = { stop: '', length: this.#texts.full, stopped: this.#texts.stopped }[end];
      output.write(note ? ` ${pc.dim(note)}\n\n` : '\n\n');
    } finally {
      this.#interrupt = () => {};
    }
  }

  /** A message of one line, or of several if lines end in a backslash or are pasted. */
  async #message(): Promise<Written | 'interrupted' | 'ended'> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.#line(lines.length === 0 ? PROMPT : CONTINUED);
      if (line === 'interrupted' && lines.length > 0) {
        lines.length = 0;
        continue;
      }
      if (typeof line === 'string') return line;
      if (!line.text.endsWith('\\')) {
        const { text, isCommand } = unmarked([...lines, line.text].join('\n'));
        // A paste of whole lines ends in a line break, which ends the message like Enter.
        return { text: isCommand ? text : text.replace(/\n$/, ''), isCommand };
      }
      lines.push(line.text.slice(0, -1));
    }
  }

  #line(prompt: string): Promise<Line> {
    const next = this.#waiting.shift();
    if (next !== undefined) {
      this.#terminal.output.write(`${pc.cyan(prompt)}${printable(next)}\n`);
      return Promise.resolve({ text: next });
    }
    return new Promise((resolve) => {
      const { output } = this.#terminal;
      const asks = (output as NodeJS.WriteStream).isTTY === true;
      if (asks) output.write(BRACKETED_PASTE.on);
      const reader = createInterface({
        input: this.#input,
        output,
        terminal: true,
        prompt: pc.cyan(prompt),
        history: this.#history,
        removeHistoryDuplicates: true,
      });
      let answer: Line | undefined;
      reader.on('history', (history: string[]) => {
        this.#history = [...history];
      });
      reader.on('line', (text) => {
        if (answer !== undefined) {
          this.#waiting.push(text);
          return;
        }
        answer = { text };
        // Lines that arrived with this one, as when several are pasted, are still being read.
        setImmediate(() => reader.close());
      });
      this.#interrupt = () => {
        if (reader.line === '') {
          answer ??= 'interrupted';
          output.write('\n');
          reader.close();
          return;
        }
        // Like shells, drops what was typed.
        output.write('^C\n');
        reader.write(null, { ctrl: true, name: 'e' });
        reader.write(null, { ctrl: true, name: 'u' });
      };
      reader.on('SIGINT', () => this.#interrupt());
      reader.on('close', () => {
        this.#interrupt = () => {};
        if (asks) output.write(BRACKETED_PASTE.off);
        this.#begun = reader.line;
        if (answer === undefined) output.write('\n');
        resolve(answer ?? 'ended');
      });
      reader.prompt();
      if (this.#begun !== '') reader.write(this.#begun);
    });
  }

  #note(text: string): void {
    this.#terminal.output.write(`${pc.dim(printable(text))}\n`);
  }
}
