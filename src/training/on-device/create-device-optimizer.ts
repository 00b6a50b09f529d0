import { option, RopewalkError, said } from '../../errors.ts';
import { shapeText, sizeOf } from '../../graph/dims.ts';
import type { Binding, DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Engine } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';
import {
  type OptimizerKind,
  type OptimizerOptions,
  optimizerRecord,
  optionsOf,
} from '../optimizers/create-optimizer.ts';
import { checkedSettings, checkSteps, type OptimizerState } from '../optimizers/optimizer-common.ts';
import { DeviceNorm } from './device-norm.ts';
import type { DeviceMeasure, DeviceOptimizer, DeviceParameter } from './device-optimizer.ts';
import { Scalars } from './device-scalars.ts';
import { DeviceStates, type Place } from './device-states.ts';
import { DeviceUnit, unitsOf } from './device-unit.ts';
import {
  type AnyOptions,
  type AnyStep,
  compileScaled,
  compileZeros,
  decays,
  factorName,
  newName,
  ON_DEVICE,
  scalarNames,
  updateGraph,
} from './device-updates.ts';

interface Kept {
  readonly parameter: DeviceParameter;
  readonly places: Place[];
  steps: number;
}

/** What is updated at once. */
interface UpdatedSet {
  readonly units: readonly { readonly unit: DeviceUnit; readonly decays: boolean }[];
  readonly norm: DeviceNorm;
}

/**
 * An optimizer for weights that stay on a device.
 *
 * @param memory of the engine's device; the states are allocated there.
 * @param given the optimizer's options, as on the CPU.
 * @throws RopewalkError where the optimizer, one of its options or a weight cannot be used on a device.
 */
export async function createDeviceOptimizer(
  engine: Engine,
  memory: DeviceMemory,
  kind: OptimizerKind,
  parameters: readonly DeviceParameter[],
  given: OptimizerOptions = {},
): Promise<DeviceOptimizer> {
  const options = optionsOf(kind, given);
  const step = stepOf(kind, options);
  if (optimizerRecord(kind).needsWholeWeights) {
    for (const { name, shape, value } of parameters) {
      if (value.length === 1) continue;
      throw new RopewalkError(
        said`the optimizer ${kind} needs all of ${name} ${shapeText(shape)} at once, but it is too large for one tensor on this device; choose ${option('optimizer', 'adamw')} or ${option('optimizer', 'sgd')}.`,
      );
    }
  }
  return new EngineDeviceOptimizer(engine, memory, parameters, kind, [step, options]);
}

/** An optimizer's step on a device. @throws RopewalkError where there is none, or not with these options. */
function stepOf(kind: OptimizerKind, options: AnyOptions): AnyStep {
  const { onDevice } = optimizerRecord(kind);
  const step = onDevice as AnyStep | undefined;
  const why = step
    ? step.refuse?.(options)
    : said`it has no step there. Choose ${option('optimizer', 'adamw')}`;
  if (step && !why) return step;
  throw new RopewalkError([
    ...said`the optimizer ${kind} cannot train on a device: `,
    ...why!,
    ...said`; or train on the CPU (${option('device', 'cpu')}).`,
  ]);
}

class EngineDeviceOptimizer implements DeviceOptimizer {
  readonly #kept: ReadonlyMap<string, Kept>;
  readonly #states: DeviceStates;
  readonly #sets = new Map<string, UpdatedSet>();
  readonly #executables: Executable[] = [];
  /** Numbers of the steps of weights that decay, and of the others; and what all of them share. */
  readonly #scalars: { readonly decaying: Scalars; readonly other: Scalars; readonly shared: Scalars };
  readonly #scaled = new Map<DeviceTensor, Binding>();
  #scale: Executable | undefined;

  readonly #engine: Engine;
  readonly #memory: DeviceMemory;
  readonly #kind: OptimizerKind;
  readonly #step: AnyStep;
  readonly #options: AnyOptions;

  constructor(
    engine: Engine,
    memory: DeviceMemory,
    parameters: readonly DeviceParameter[],
    kind: OptimizerKind,
    [step, options]: readonly [AnyStep, AnyOptions],
  ) {
    this.#engine = engine;
    this.#memory = memory;
    this.#kind = kind;
    this.#step = step;
    this.#options = options;
    this.#scalars = {
      decaying: new Scalars(memory),
      other: new Scalars(memory),
      shared: new Scalars(memory),
    };
    const kept = new Map<string, Kept>();
    for (const parameter of parameters) {
      const { name } = parameter;
      if (kept.has(name)) throw new RopewalkError(`${kind}: the parameter ${name} is listed twice.`);
      kept.set(name, { parameter, places: [], steps: 0 });
    }
    this.#kept = kept;
    this.#states = new DeviceStates(memory, step, kept);
  }

  async prepare(sets: readonly (readonly string[])[] = [[...this.#kept.keys()]]): Promise<void> {
    const { shared } = this.#scalars;
    const { scaled } = scalarNames(this.#step, this.#options);
    this.#scale = await this.#compiled(compileScaled(this.#engine, scaled));
    shared.write({ zero: 0 });
    const updates = new Map<string, Executable>();
    for (const names of sets) {
      if (names.length === 0) continue;
      const parameters = names.map((name) => this.#of(name).parameter);
      const units: { readonly unit: DeviceUnit; readonly decays: boolean }[] = [];
      const grouped = unitsOf(parameters, this.#step, (each) => decays(this.#options, each));
      for (const { members, decays: isDecaying } of grouped) {
        const shapes = members.map(({ value }) => value.shape);
        const key = JSON.stringify(shapes.map((shape) => this.#step.layout(shape)));
        let update = updates.get(key);
        if (!update) {
          const graph = updateGraph(this.#step, this.#options, shapes);
          update = await this.#compiled(Executable.compile(this.#engine, graph, ON_DEVICE));
          updates.set(key, update);
        }
        const numbers = { own: this.#scalars[isDecaying ? 'decaying' : 'other'], scaled: shared };
        const unit = new DeviceUnit(this.#memory, update, members, [this.#step, this.#options], numbers);
        members.forEach(({ name }, index) => {
          this.#of(name).places.push({ unit, index });
        });
        units.push({ unit, decays: isDecaying });
      }
      const gradients = parameters.flatMap(({ gradient }) => gradient);
      const norm = await DeviceNorm.create(this.#engine, this.#memory, gradients, shared);
      this.#sets.set(names.join(), { units, norm });
    }
    await this.#zeroStates();
    const left = [...this.#kept.values()].find(
      ({ places, parameter }) => places.length !== parameter.value.length,
    );
    if (left) throw new Error(`${left.parameter.name} must be in exactly one set`);
  }

  measure(names: readonly string[], clip: number, lossScale = 1): DeviceMeasure {
    return this.#set(names).norm.measure(clip, lossScale);
  }

  update(
    names: readonly string[],
    { learningRate, scale }: { readonly learningRate: number; readonly scale: DeviceTensor },
  ): void {
    checkedSettings({ learningRate });
    const { units } = this.#set(names);
    const { decaying, other, shared } = this.#scalars;
    const factors = this.#step.scaled(this.#options, { learningRate });
    shared.write(Object.fromEntries(Object.entries(factors).map(([name, x]) => [factorName(name), x])));
    this.#scaledBy(scale).run();
    for (const { unit, decays: isDecaying } of units) {
      // All members of a unit have taken as many steps.
      const step = this.#of(unit.members[0]!.name).steps + 1;
      const numbers = this.#step.scalars(this.#options, { learningRate, step, decays: isDecaying });
      (isDecaying ? decaying : other).write(numbers);
      unit.run();
    }
    for (const name of names) this.#of(name).steps++;
    this.#states.changed();
  }

  step(): never {
    throw new Error('the weights of this optimizer are on a device: measure and update them there');
  }

  state(): OptimizerState {
    return { steps: this.#steps(), tensors: this.#states.tensors() };
  }

  async stateToSave(): Promise<OptimizerState> {
    if (this.#memory.canWait) return this.state();
    return { steps: this.#steps(), tensors: await this.#states.download() };
  }

  restore({ steps, tensors }: OptimizerState): void {
    checkSteps(this.#kind, steps, this.#kept.keys());
    for (const { units } of this.#sets.values()) {
      for (const { unit } of units) {
        const counts = new Set(unit.members.map(({ name }) => steps[name]));
        if (counts.size === 1) continue;
        throw new RopewalkError(
          said`${this.#kind}: the saved weights, such as ${unit.members[0]!.name}, have taken different numbers of steps, which one update on a device cannot continue; continue on the CPU (${option('device', 'cpu')}).`,
        );
      }
    }
    this.#states.restore(this.#kind, tensors);
    for (const [name, kept] of this.#kept) kept.steps = steps[name]!;
  }

  async release(): Promise<void> {
    for (const binding of this.#scaled.values()) binding.release();
    for (const { units, norm } of this.#sets.values()) {
      for (const { unit } of units) unit.release();
      await norm.release();
    }
    for (const scalars of Object.values(this.#scalars)) scalars.release();
    for (const executable of this.#executables) await executable.release();
  }

  #steps(): Record<string, number> {
    return Object.fromEntries([...this.#kept].map(([name, kept]) => [name, kept.steps]));
  }

  #of(name: string): Kept {
    const kept = this.#kept.get(name);
    if (!kept) {
      throw new RopewalkError(
        `${this.#kind} has no state for ${name}; pass the parameter when creating the optimizer.`,
      );
    }
    return kept;
  }

  #set(names: readonly string[]): UpdatedSet {
    const set = this.#sets.get(names.join());
    if (!set) throw new Error('these parameters were not prepared as one set');
    return set;
  }

  async #compiled(executable: Promise<Executable>): Promise<Executable> {
    const made = await executable;
    this.#executables.push(made);
    return made;
  }

  #scaledBy(scale: DeviceTensor): Binding {
    const known = this.#scaled.get(scale);
    if (known) return known;
    const names = scalarNames(this.#step, this.#options).scaled;
    const { shared } = this.#scalars;
    const factors = names.map((name) => [factorName(name), shared.tensor(factorName(name))]);
    const binding = this.#scale!.bind(
      { scale, ...Object.fromEntries(factors) },
      Object.fromEntries(names.map((name) => [newName(name), shared.tensor(name)])),
    );
    this.#scaled.set(scale, binding);
    return binding;
  }

  /** The content of new tensors is undefined. */
  async #zeroStates(): Promise<void> {
    const zeros = new Map<number, Executable>();
    const inputs = { zero: this.#scalars.shared.tensor('zero') };
    for (const { units } of this.#sets.values()) {
      for (const state of units.flatMap(({ unit }) => unit.states)) {
        const size = sizeOf(state.shape) as number;
        const executable = zeros.get(size) ?? (await compileZeros(this.#engine, size));
        zeros.set(size, executable);
        const view = this.#memory.view(state, [size]);
        const binding = executable.bind(inputs, { zeros: view });
        binding.run();
        binding.release();
        this.#memory.free(view);
      }
    }
    for (const executable of zeros.values()) await executable.release();
  }
}
