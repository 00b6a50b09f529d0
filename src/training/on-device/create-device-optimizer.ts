import { option, RopewalkError, said } from '../../errors.ts';
import { shapeText, sizeOf } from '../../graph/dims.ts';
import type { Binding, DeviceMemory, DeviceTensor, DeviceTensors } from '../../runtime/device.ts';
import type { Engine } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';
import {
  type OptimizerKind,
  type OptimizerOptions,
  optimizerRecord,
  optionsOf,
} from '../optimizers/create-optimizer.ts';
import {
  checkedSettings,
  checkSteps,
  checkTensor,
  type OptimizerState,
  type StateTensor,
} from '../optimizers/optimizer-common.ts';
import { DeviceNorm } from './device-norm.ts';
import type { DeviceMeasure, DeviceOptimizer, DeviceParameter } from './device-optimizer.ts';
import { Scalars } from './device-scalars.ts';
import {
  type AnyOptions,
  type AnyStep,
  compileScaled,
  compileZeros,
  factorName,
  newName,
  scalarNames,
  stateName,
  updateGraph,
} from './device-updates.ts';

/** One tensor of a weight: the whole weight, or consecutive rows of it. */
interface Part {
  readonly states: readonly DeviceTensor[];
  readonly update: Binding;
}

interface Kept {
  readonly parameter: DeviceParameter;
  readonly decays: boolean;
  readonly parts: readonly Part[];
  steps: number;
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
  const optimizer = new EngineDeviceOptimizer(engine, memory, kind, step, options);
  await optimizer.add(parameters);
  return optimizer;
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
  readonly #kept = new Map<string, Kept>();
  readonly #executables: Executable[] = [];
  readonly #norms = new Map<string, DeviceNorm>();
  /** Numbers of the steps of weights that decay, and of the others; and what all of them share. */
  readonly #scalars: { readonly decay: Scalars; readonly other: Scalars; readonly shared: Scalars };
  readonly #scaled = new Map<DeviceTensor | undefined, Binding>();
  #scale: Executable | undefined;

  readonly #engine: Engine;
  readonly #memory: DeviceMemory;
  readonly #kind: OptimizerKind;
  readonly #step: AnyStep;
  readonly #options: AnyOptions;

  constructor(engine: Engine, memory: DeviceMemory, kind: OptimizerKind, step: AnyStep, options: AnyOptions) {
    this.#engine = engine;
    this.#memory = memory;
    this.#kind = kind;
    this.#step = step;
    this.#options = options;
    this.#scalars = { decay: new Scalars(memory), other: new Scalars(memory), shared: new Scalars(memory) };
  }

  async add(parameters: readonly DeviceParameter[]): Promise<void> {
    const { own, scaled } = scalarNames(this.#step, this.#options);
    if (scaled.length > 0) this.#scale = await this.#compiled(compileScaled(this.#engine, scaled));
    this.#scalars.shared.write({ zero: 0 });
    const decays = this.#options.decays as ((name: string, shape: readonly number[]) => boolean) | undefined;
    const updates = new Map<string, Executable>();
    const zeros = new Map<number, Executable>();
    for (const parameter of parameters) {
      const { name, shape } = parameter;
      if (this.#kept.has(name))
        throw new RopewalkError(`${this.#kind}: the parameter ${name} is listed twice.`);
      const isDecaying = decays?.(name, shape) ?? false;
      const numbers = this.#scalars[isDecaying ? 'decay' : 'other'];
      const parts: Part[] = [];
      for (const [i, value] of parameter.value.entries()) {
        const layout = this.#step.layout(value.shape);
        const states = this.#step.states(value.shape);
        const key = layout.join();
        let update = updates.get(key);
        if (!update) {
          const graph = updateGraph(this.#step, this.#options, value.shape);
          update = await this.#compiled(Executable.compile(this.#engine, graph));
          updates.set(key, update);
        }
        const tensors = states.map((state) => this.#memory.allocate('float32', state.layout));
        for (const tensor of tensors) {
          const size = sizeOf(tensor.shape) as number;
          let zero = zeros.get(size);
          if (!zero) {
            zero = await compileZeros(this.#engine, [size]);
            zeros.set(size, zero);
          }
          this.#runOnce(zero, { zero: this.#scalars.shared.tensor('zero') }, tensor, [size]);
        }
        const updated: DeviceTensors = {
          value: this.#memory.view(value, layout),
          ...Object.fromEntries(tensors.map((tensor, at) => [stateName(at), tensor])),
        };
        const gradient = this.#memory.view(parameter.gradient[i]!, layout);
        parts.push({
          states: tensors,
          update: update.bind(
            {
              ...updated,
              gradient,
              ...Object.fromEntries(own.map((each) => [each, numbers.tensor(each)])),
              ...Object.fromEntries(scaled.map((each) => [each, this.#scalars.shared.tensor(each)])),
            },
            Object.fromEntries(Object.entries(updated).map(([each, tensor]) => [newName(each), tensor])),
          ),
        });
      }
      this.#kept.set(name, { parameter, decays: isDecaying, parts, steps: 0 });
    }
    for (const executable of zeros.values()) await executable.release();
  }

  async prepare(sets: readonly (readonly string[])[] = [[...this.#kept.keys()]]): Promise<void> {
    for (const names of sets) {
      const key = names.join();
      if (this.#norms.has(key) || names.length === 0) continue;
      const gradients = names.flatMap((name) => this.#of(name).parameter.gradient);
      this.#norms.set(
        key,
        await DeviceNorm.create(this.#engine, this.#memory, gradients, this.#scalars.shared),
      );
    }
  }

  measure(names: readonly string[], clip: number): DeviceMeasure {
    const norm = this.#norms.get(names.join());
    if (!norm) throw new Error('these gradients were not prepared to be measured together');
    return norm.measure(clip);
  }

  update(
    names: readonly string[],
    { learningRate, scale }: { readonly learningRate: number; readonly scale: DeviceTensor },
  ): void {
    checkedSettings({ learningRate });
    const { decay, other, shared } = this.#scalars;
    if (this.#scale) {
      const factors = this.#step.scaled(this.#options, { learningRate });
      shared.write(Object.fromEntries(Object.entries(factors).map(([name, x]) => [factorName(name), x])));
      this.#scaledBy(scale).run();
    }
    const written: Record<'decay' | 'other', number | undefined> = { decay: undefined, other: undefined };
    for (const name of names) {
      const kept = this.#of(name);
      const which = kept.decays ? 'decay' : 'other';
      const at = kept.steps + 1;
      if (written[which] !== at) {
        const settings = { learningRate, step: at, decays: kept.decays };
        (kept.decays ? decay : other).write(this.#step.scalars(this.#options, settings));
        written[which] = at;
      }
      for (const { update } of kept.parts) update.run();
      kept.steps = at;
    }
  }

  step(): never {
    throw new Error('the weights of this optimizer are on a device: measure and update them there');
  }

  /** The state in a checkpoint. An array is read from the device each time that it is used. */
  state(): OptimizerState {
    const tensors = new Map<string, StateTensor>();
    for (const [name, { parameter, parts }] of this.#kept) {
      for (const [i, { prefix, shape }] of this.#step.states(parameter.shape).entries()) {
        const read = () => this.#read(parts.map(({ states }) => states[i]!));
        tensors.set(`${prefix}.${name}`, {
          dtype: 'F32',
          shape,
          get data() {
            return read();
          },
        });
      }
    }
    return { steps: Object.fromEntries([...this.#kept].map(([name, { steps }]) => [name, steps])), tensors };
  }

  restore({ steps, tensors }: OptimizerState): void {
    checkSteps(this.#kind, steps, this.#kept.keys());
    const own = [...this.#kept].flatMap(([name, { parameter, parts }]) =>
      this.#step.states(parameter.shape).map(({ prefix, shape }, i) => ({
        name: `${prefix}.${name}`,
        elements: sizeOf(shape) as number,
        targets: parts.map(({ states }) => states[i]!),
      })),
    );
    // A tensor is used once: it may be read from a file each time.
    const saved = new Map(
      own.map(({ name, elements }) => {
        const tensor = tensors.get(name);
        const data = tensor?.data;
        checkTensor(
          ...[this.#kind, name, { dtype: 'F32', elements }],
          tensor && data && { dtype: tensor.dtype, elements: data.length },
        );
        return [name, data as Float32Array];
      }),
    );
    for (const { name, targets } of own) {
      let at = 0;
      for (const target of targets) {
        const length = sizeOf(target.shape) as number;
        this.#memory.write(target, saved.get(name)!.subarray(at, at + length));
        at += length;
      }
    }
    for (const [name, kept] of this.#kept) kept.steps = steps[name]!;
  }

  async release(): Promise<void> {
    for (const { parts } of this.#kept.values()) {
      for (const { update, states } of parts) {
        update.release();
        for (const tensor of states) this.#memory.free(tensor);
      }
    }
    for (const binding of this.#scaled.values()) binding.release();
    for (const norm of this.#norms.values()) await norm.release();
    for (const scalars of Object.values(this.#scalars)) scalars.release();
    for (const executable of this.#executables) await executable.release();
    this.#kept.clear();
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

  #runOnce(
    executable: Executable,
    inputs: DeviceTensors,
    target: DeviceTensor,
    shape: readonly number[],
  ): void {
    const view = this.#memory.view(target, shape);
    const binding = executable.bind(inputs, { zeros: view });
    binding.run();
    binding.release();
    this.#memory.free(view);
  }

  #read(parts: readonly DeviceTensor[]): Float32Array {
    const data = new Float32Array(parts.reduce((sum, { shape }) => sum + (sizeOf(shape) as number), 0));
    let at = 0;
    for (const part of parts) {
      const length = sizeOf(part.shape) as number;
      this.#memory.read(part, data.subarray(at, at + length));
      at += length;
    }
    return data;
  }
}
