import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A contender's command. bench/README.md describes its protocol. */
export interface Entrant {
  /** Its name in tables. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

interface Ready {
  readonly ready: true;
  readonly about?: string;
  /** The loss of a first step, if one has already run. */
  readonly loss?: number;
  /** For bare products: operations per step. */
  readonly flops?: number;
}

export interface Step {
  readonly seconds: number;
  /** Absent if nothing is trained. */
  readonly loss?: number;
  /** The part spent in the optimizer, if reported. */
  readonly optimizerSeconds?: number;
}

/** A process that runs training steps on request, and is idle otherwise. */
export class Contender {
  readonly #lines: AsyncIterator<string>;
  readonly #closed: Promise<void>;
  #errors = '';
  ready!: Ready;

  readonly #child: ChildProcess;

  private constructor(
    readonly entrant: Entrant,
    child: ChildProcess,
  ) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    child.stderr!.on('data', (data: Buffer) => {
      this.#errors = (this.#errors + data).slice(-2000);
    });
    this.#closed = new Promise((resolve) => {
      child.once('close', () => resolve());
      child.once('error', (error) => {
        this.#errors += error.message;
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Starts it and waits until it is ready. @throws Error with its last output if it fails. */
  static async start(entrant: Entrant): Promise<Contender> {
    const child = spawn(entrant.command, entrant.args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...entrant.environment },
    });
    const contender = new Contender(entrant, child);
    contender.ready = (await contender.#read()) as Ready;
    return contender;
  }

  async step(): Promise<Step> {
    this.#child.stdin!.write('step\n');
    return (await this.#read()) as Step;
  }

  /** Runs only the forward products of a model's linear layers, for contenders that support the command. */
  async products(): Promise<{ seconds: number; flops: number }> {
    this.#child.stdin!.write('products\n');
    return (await this.#read()) as { seconds: number; flops: number };
  }

  async quit(): Promise<void> {
    this.#child.stdin!.end('quit\n');
    await this.#closed;
  }

  async #read(): Promise<unknown> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) {
        await this.#closed;
        throw new Error(`${this.entrant.name} ended before it answered: ${this.#errors.trim().slice(-600)}`);
      }
      // Libraries may print their own lines.
      if (!value.startsWith('{')) continue;
      const answer = JSON.parse(value) as { error?: string };
      if (answer.error === undefined) return answer;
      this.#child.kill();
      throw new Error(`${this.entrant.name}: ${answer.error}`);
    }
  }
}
