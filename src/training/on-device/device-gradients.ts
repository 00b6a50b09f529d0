import { sizeOf } from '../../graph/dims.ts';
import { add, input } from '../../graph/operators/index.ts';
import type { Binding, DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Engine, SessionSettings } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';

/** Where a pass of a stage writes gradients. */
export interface GradientTargets {
  of(name: string): DeviceTensor;
  /** Called after the pass: adds what was not written to its place. */
  add(): void;
}

/** Paths of the trained weights of each stage. */
type Stages = readonly (readonly string[])[];

/**
 * The gradients of a step. A pass cannot read and write one tensor, so what is added to a gradient (by a further micro-batch, or
 * by a second use of a weight) is first written to a tensor of its own, which stages share.
 */
export class DeviceGradients {
  readonly #gradients = new Map<string, DeviceTensor>();
  /** Tensors that stages share, by shape and how many of that shape the stage has. */
  readonly #shared = new Map<string, DeviceTensor>();
  readonly #adding = new Map<number, Promise<{ readonly pass: Executable; readonly sum: DeviceTensor }>>();
  readonly #bindings: Binding[] = [];

  readonly #engine: Engine;
  readonly #settings: SessionSettings | undefined;
  readonly #memory: DeviceMemory;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;

  /**
   * @param shapes of everything that is added up, by name.
   * @param stages in each of which gradients are used before the next one's are computed: they then share tensors. Without
   *   them, each gradient has its own.
   */
  constructor(
    engine: Engine,
    settings: SessionSettings | undefined,
    memory: DeviceMemory,
    shapes: ReadonlyMap<string, readonly number[]>,
    stages: Stages = [],
  ) {
    this.#engine = engine;
    this.#settings = settings;
    this.#memory = memory;
    this.#shapes = shapes;
    const uses = new Map<string, number>();
    for (const name of stages.flat()) uses.set(name, (uses.get(name) ?? 0) + 1);
    for (const names of stages) {
      const slots = new Slots('gradient');
      for (const name of names.filter((each) => uses.get(each) === 1)) {
        this.#gradients.set(name, this.#sharedTensor(slots.next(this.#shape(name)), this.#shape(name)));
      }
    }
    for (const [name, shape] of shapes)
      if (!this.#gradients.has(name)) this.#gradients.set(name, memory.allocate('float32', shape));
  }

  of(name: string): DeviceTensor {
    return this.#gradients.get(name)!;
  }

  /**
   * The targets of a stage.
   *
   * @param adds which of its gradients are added to what is there; the others replace it.
   */
  async targets(names: readonly string[], adds: (name: string) => boolean): Promise<GradientTargets> {
    const slots = new Slots('added');
    const targets = new Map<string, DeviceTensor>();
    const additions: (() => void)[] = [];
    for (const name of names) {
      const gradient = this.of(name);
      if (!adds(name)) {
        targets.set(name, gradient);
        continue;
      }
      const added = this.#sharedTensor(slots.next(gradient.shape), gradient.shape);
      targets.set(name, added);
      additions.push(await this.#addition(gradient, added));
    }
    return {
      of: (name) => targets.get(name)!,
      add: () => {
        for (const addition of additions) addition();
      },
    };
  }

  async release(): Promise<void> {
    for (const binding of this.#bindings) binding.release();
    for (const made of this.#adding.values()) await (await made).pass.release();
  }

  #shape(name: string): readonly number[] {
    return this.#shapes.get(name)!;
  }

  #sharedTensor(slot: string, shape: readonly number[]): DeviceTensor {
    const known = this.#shared.get(slot) ?? this.#memory.allocate('float32', shape);
    this.#shared.set(slot, known);
    return known;
  }

  async #addition(gradient: DeviceTensor, added: DeviceTensor): Promise<() => void> {
    const size = sizeOf(gradient.shape) as number;
    const { pass, sum } = await this.#adder(size);
    const flat = (tensor: DeviceTensor) => this.#memory.view(tensor, [size]);
    const binding = pass.bind({ a: flat(gradient), b: flat(added) }, { sum });
    this.#bindings.push(binding);
    const target = flat(gradient);
    return () => {
      binding.run();
      this.#memory.copy(sum, target);
    };
  }

  #adder(size: number) {
    const known = this.#adding.get(size);
    if (known) return known;
    const make = async () => {
      const sum = add(input('a', 'float32', [size]), input('b', 'float32', [size]));
      const pass = await Executable.compile(this.#engine, new Map([['sum', sum]]), this.#settings);
      return { pass, sum: this.#memory.allocate('float32', [size]) };
    };
    const made = make();
    this.#adding.set(size, made);
    return made;
  }
}

/** Names of shared tensors: those of one stage differ, those of several are the same for equal shapes. */
class Slots {
  readonly #counts = new Map<string, number>();
  readonly #use: string;

  constructor(use: string) {
    this.#use = use;
  }

  next(shape: readonly number[]): string {
    const key = shape.join('×');
    const count = this.#counts.get(key) ?? 0;
    this.#counts.set(key, count + 1);
    return `${this.#use} ${key} ${count}`;
  }
}
