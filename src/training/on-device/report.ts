import { add, concat, input, mul, reshape } from '../../graph/operators/index.ts';
import type { Binding, DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Engine, SessionSettings } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';

/** What the host reads of a step: the loss and the gradient norm, in one piece. */
export class Report {
  readonly #bindings = new Map<DeviceTensor, Binding>();
  readonly #both = new Float32Array(2);
  readonly #one = new Float32Array(1);

  readonly #memory: DeviceMemory;
  readonly #executable: Executable;
  readonly #loss: DeviceTensor;
  readonly #report: DeviceTensor;

  private constructor(
    memory: DeviceMemory,
    executable: Executable,
    loss: DeviceTensor,
    report: DeviceTensor,
  ) {
    this.#memory = memory;
    this.#executable = executable;
    this.#loss = loss;
    this.#report = report;
  }

  /** @param loss `[]`. */
  static async create(
    engine: Engine,
    settings: SessionSettings | undefined,
    memory: DeviceMemory,
    loss: DeviceTensor,
  ): Promise<Report> {
    const both = concat([reshape(input('loss', 'float32', []), [1]), input('norm', 'float32', [1])], 0);
    const executable = await Executable.compile(engine, new Map([['both', both]]), settings);
    return new Report(memory, executable, loss, memory.allocate('float32', [2]));
  }

  /** Waits for the device. @param norm `[1]`. */
  async read(norm: DeviceTensor): Promise<{ readonly loss: number; readonly gradientNorm: number }> {
    let binding = this.#bindings.get(norm);
    if (!binding) {
      binding = this.#executable.bind({ loss: this.#loss, norm }, { both: this.#report });
      this.#bindings.set(norm, binding);
    }
    binding.run();
    await this.#memory.download(this.#report, this.#both);
    const [loss, gradientNorm] = this.#both as unknown as [number, number];
    return { loss, gradientNorm };
  }

  /** Waits for the device. */
  async readLoss(): Promise<number> {
    await this.#memory.download(this.#loss, this.#one);
    return this.#one[0]!;
  }

  async release(): Promise<void> {
    for (const binding of this.#bindings.values()) binding.release();
    await this.#executable.release();
  }
}

/** The sum of squared norms of groups of gradients, added up group by group. */
export class NormSum {
  readonly #bindings = new Map<string, Binding>();
  readonly #one = new Float32Array(1);
  #turn = 0;

  readonly #memory: DeviceMemory;
  readonly #executable: Executable;
  /** The sum so far, and the next one. */
  readonly #sums: readonly [DeviceTensor, DeviceTensor];

  private constructor(
    memory: DeviceMemory,
    executable: Executable,
    sums: readonly [DeviceTensor, DeviceTensor],
  ) {
    this.#memory = memory;
    this.#executable = executable;
    this.#sums = sums;
  }

  static async create(
    engine: Engine,
    settings: SessionSettings | undefined,
    memory: DeviceMemory,
  ): Promise<NormSum> {
    const scalar = (name: string) => input(name, 'float32', [1]);
    const norm = scalar('norm');
    const next = add(scalar('sum'), mul(norm, norm));
    const executable = await Executable.compile(engine, new Map([['next', next]]), settings);
    return new NormSum(memory, executable, [
      memory.allocate('float32', [1]),
      memory.allocate('float32', [1]),
    ]);
  }

  begin(): void {
    this.#turn = 0;
    this.#memory.write(this.#sums[0], new Float32Array(1));
  }

  /** @param norm `[1]`, always the same tensor for a group. */
  add(group: number, norm: DeviceTensor): void {
    const key = `${group} ${this.#turn}`;
    let binding = this.#bindings.get(key);
    if (!binding) {
      const [sum, next] = [this.#sums[this.#turn]!, this.#sums[1 - this.#turn]!];
      binding = this.#executable.bind({ sum, norm }, { next });
      this.#bindings.set(key, binding);
    }
    binding.run();
    this.#turn = 1 - this.#turn;
  }

  /** Waits for the device. @param norm `[1]`, of one group. */
  readOne(norm: DeviceTensor): number {
    this.#memory.read(norm, this.#one);
    return this.#one[0]!;
  }

  /** Waits for the device. */
  async read(): Promise<number> {
    await this.#memory.download(this.#sums[this.#turn]!, this.#one);
    return this.#one[0]!;
  }

  async release(): Promise<void> {
    for (const binding of this.#bindings.values()) binding.release();
    await this.#executable.release();
  }
}
