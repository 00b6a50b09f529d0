import { concat, input, reshape } from '../../graph/operators/index.ts';
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
  read(norm: DeviceTensor): { readonly loss: number; readonly gradientNorm: number } {
    let binding = this.#bindings.get(norm);
    if (!binding) {
      binding = this.#executable.bind({ loss: this.#loss, norm }, { both: this.#report });
      this.#bindings.set(norm, binding);
    }
    binding.run();
    this.#memory.read(this.#report, this.#both);
    const [loss, gradientNorm] = this.#both as unknown as [number, number];
    return { loss, gradientNorm };
  }

  /** Waits for the device. */
  readLoss(): number {
    this.#memory.read(this.#loss, this.#one);
    return this.#one[0]!;
  }

  async release(): Promise<void> {
    for (const binding of this.#bindings.values()) binding.release();
    await this.#executable.release();
  }
}
