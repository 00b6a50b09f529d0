import { sizeOf } from '../../graph/dims.ts';
import type { Binding, DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Executable } from '../../runtime/executable.ts';
import type { DeviceParameter } from './device-optimizer.ts';
import type { Scalars } from './device-scalars.ts';
import {
  type AnyOptions,
  type AnyStep,
  gradientName,
  newName,
  scalarNames,
  stateName,
  statesOf,
  valueName,
} from './device-updates.ts';

/** A tensor of a weight: all of it, or consecutive rows. */
export interface Member {
  readonly name: string;
  readonly value: DeviceTensor;
  readonly gradient: DeviceTensor;
}

/**
 * Weights up to this size are updated several at a time. Their calls then take less than their arithmetic: a layer of
 * SmolLM2 takes 32 instead of 117 kernels.
 */
const SMALL = 2 ** 20;

/** Tensors in one update: a kernel writes as many on every device. */
const MEMBERS = 7;

/** Elements in one update of several tensors. */
const TOGETHER = 2 ** 22;

/** The tensors of some parameters by updates, in their order; each update has weights that all decay, or none. */
export function unitsOf(
  parameters: readonly DeviceParameter[],
  step: AnyStep,
  decays: (parameter: DeviceParameter) => boolean,
): { readonly members: readonly Member[]; readonly decays: boolean }[] {
  const units: { readonly members: Member[]; readonly decays: boolean }[] = [];
  const open = new Map<boolean, Member[]>();
  for (const parameter of parameters) {
    const isDecaying = decays(parameter);
    for (const [i, value] of parameter.value.entries()) {
      const member = { name: parameter.name, value, gradient: parameter.gradient[i]! };
      const size = elements(member);
      const known = open.get(isDecaying);
      if (!step.elementwise || size > SMALL) {
        units.push({ members: [member], decays: isDecaying });
      } else if (known && known.length < MEMBERS && total(known) + size <= TOGETHER) {
        known.push(member);
      } else {
        const members = [member];
        units.push({ members, decays: isDecaying });
        open.set(isDecaying, members);
      }
    }
  }
  return units;
}

/** Weights that are updated by one graph, and their states. */
export class DeviceUnit {
  /** The states; those of several members are one vector. */
  readonly states: readonly DeviceTensor[];
  readonly #update: Binding;
  readonly #views: readonly DeviceTensor[];
  readonly #memory: DeviceMemory;

  /** @param executable of the graph of these members. */
  constructor(
    memory: DeviceMemory,
    executable: Executable,
    readonly members: readonly Member[],
    [step, options]: readonly [AnyStep, AnyOptions],
    numbers: { readonly own: Scalars; readonly scaled: Scalars },
  ) {
    this.#memory = memory;
    const { own, scaled } = scalarNames(step, options);
    const shapes = members.map(({ value }) => value.shape);
    this.states = statesOf(step, shapes).map((layout) => memory.allocate('float32', layout));
    const view = (tensor: DeviceTensor) => memory.view(tensor, step.layout(tensor.shape));
    const updated = Object.fromEntries([
      ...members.map(({ value }, i) => [valueName(i), view(value)] as const),
      ...this.states.map((state, i) => [stateName(i), state] as const),
    ]);
    const gradients = Object.fromEntries(
      members.map(({ gradient }, i) => [gradientName(i), view(gradient)] as const),
    );
    this.#views = [
      ...Object.values(gradients),
      ...Object.values(updated).filter((tensor) => !this.states.includes(tensor)),
    ];
    const scalars = [
      ...own.map((name) => [name, numbers.own.tensor(name)] as const),
      ...scaled.map((name) => [name, numbers.scaled.tensor(name)] as const),
    ];
    this.#update = executable.bind(
      { ...updated, ...gradients, ...Object.fromEntries(scalars) },
      Object.fromEntries(Object.entries(updated).map(([name, tensor]) => [newName(name), tensor])),
    );
  }

  run(): void {
    this.#update.run();
  }

  /** Where a member's elements are in the states of several members. */
  rangeOf(index: number): { readonly start: number; readonly end: number } {
    const start = total(this.members.slice(0, index));
    return { start, end: start + elements(this.members[index]!) };
  }

  release(): void {
    this.#update.release();
    for (const tensor of [...this.#views, ...this.states]) this.#memory.free(tensor);
  }
}

function elements({ value }: Member): number {
  return sizeOf(value.shape) as number;
}

function total(members: readonly Member[]): number {
  return members.reduce((sum, member) => sum + elements(member), 0);
}
