import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { memoryOf, processorSeconds, processTree } from '../process-tree.ts';

/** How a contender's process is started; rivals/protocol.mjs describes its commands. */
export interface Entrant {
  /** Its name in tables. */
  readonly name: string;
  /** The script that speaks the protocol. */
  readonly script: string;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Bytes per weight of a product at run time, including scales. */
  readonly bytesPerWeight: number;
  /** Bytes per value in its key/value cache. */
  readonly cacheNumberBytes: number;
  /** Environment variables of its process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Set if loading takes a minute, because it quantizes a large model. */
  readonly skipColdStart?: boolean;
}

/** A running contender. */
export class Contender {
  readonly #lines: AsyncIterator<string>;
  readonly #closed: Promise<void>;
  about = '';
  loadSeconds = 0;

  readonly #child: ChildProcess;

  private constructor(
    readonly entrant: Entrant,
    child: ChildProcess,
  ) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    this.#closed = new Promise((resolve) => {
      child.once('close', () => resolve());
      child.once('error', () => resolve());
    });
  }

  /** Starts it and waits until the model is loaded. */
  static async start(entrant: Entrant): Promise<Contender> {
    const contender = Contender.#spawn(entrant);
    const ready = (await contender.#read()) as { seconds: number; about: string };
    contender.about = ready.about;
    contender.loadSeconds = ready.seconds;
    return contender;
  }

  /**
   * A cold start: from starting the process to the first token after a prompt.
   *
   * @returns seconds, processor time in seconds, and the peak of its memory in bytes.
   */
  static async coldStart(
    entrant: Entrant,
    prompt: number,
  ): Promise<{ seconds: number; processor: number; bytes: number }> {
    await readAll(String(entrant.settings.model));
    const started = performance.now();
    const contender = Contender.#spawn(entrant);
    contender.#write(`prefill ${prompt}`);
    await contender.#read();
    await contender.#read();
    const seconds = (performance.now() - started) / 1000;
    const processor = processorSeconds(contender.#child.pid!);
    const bytes = contender.peakBytes();
    await contender.quit();
    return { seconds, processor, bytes };
  }

  /** Sends a command and waits for its answer. */
  async ask<T>(command: string): Promise<T> {
    this.#write(command);
    return (await this.#read()) as T;
  }

  /** The peak physical memory of it and each of its children (VmHWM); 0 if Linux does not report it. */
  peakBytes(): number {
    return processTree(this.#child.pid!).reduce((sum, pid) => sum + memoryOf(pid, 'VmHWM'), 0);
  }

  async quit(): Promise<void> {
    this.#write('quit');
    await this.#closed;
  }

  static #spawn(entrant: Entrant): Contender {
    const child = spawn(process.execPath, [entrant.script, JSON.stringify(entrant.settings)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...entrant.env },
    });
    return new Contender(entrant, child);
  }

  #write(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  async #read(): Promise<unknown> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`${this.entrant.name} ended before it answered`);
      // Libraries may print their own lines.
      if (!value.startsWith('{')) continue;
      const answer = JSON.parse(value) as { error?: string };
      if (answer.error !== undefined) {
        this.#child.kill();
        throw new Error(`${this.entrant.name}: ${answer.error}`);
      }
      return answer;
    }
  }
}

/** Reads a file, or all files below a folder, so that they are in the system's cache for every contender. */
async function readAll(path: string): Promise<void> {
  const isFolder = (await stat(path)).isDirectory();
  const files = isFolder
    ? (await readdir(path, { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
    : [path];
  for (const file of files) for await (const _ of createReadStream(file, { highWaterMark: 1 << 22 }));
}
