import { RopewalkError } from '../errors.ts';
import { sizeOf } from '../graph/dims.ts';
import { parameter as parameterInput } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { Part } from './parts.ts';

/** How a weight is initialized when nothing is loaded: N(0, std²), or a constant. */
export type Initializer = { readonly normal: number } | { readonly fill: number };

/** A trained weight. Two modules that hold the same object are tied: they are one weight, and its gradients add up. */
export class Parameter {
  #graphInput: Tensor | undefined;
  #name: string | undefined;

  constructor(
    readonly shape: readonly number[],
    readonly initializer: Initializer,
  ) {}

  get size(): number {
    return sizeOf(this.shape);
  }

  /** Hugging Face's name, once the model it belongs to has been named; see {@link nameParameters}. */
  get path(): string {
    if (this.#name === undefined) throw new RopewalkError('a parameter was used before its model was named.');
    return this.#name;
  }

  set path(path: string) {
    this.#name = path;
    this.#graphInput = undefined;
  }

  /** This weight in a graph. */
  get tensor(): Tensor {
    this.#graphInput ??= parameterInput(this.path, this.shape);
    return this.#graphInput;
  }
}

/**
 * A part of a model. Properties that are modules, lists of modules or parameters are its children, in the order in
 * which they are assigned; their names are the paths in checkpoints.
 */
export abstract class Module {
  /** The class name that PyTorch prints. */
  abstract readonly typeName: string;

  /** What PyTorch prints between the parentheses. */
  extra(): string {
    return '';
  }

  /** What this module is, for tables and diagrams; undefined for containers. */
  describe(): Part | undefined {
    return undefined;
  }

  /** Whether this is a module in PyTorch too, and so printed; plain tensors are not. */
  get isPrinted(): boolean {
    return true;
  }

  /** The direct children, with their names. */
  *children(): Generator<[string, Module]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Module) yield [name, value];
    }
  }

  /** The parameters of this module itself, with their names. */
  *ownParameters(): Generator<[string, Parameter]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Parameter) yield [name, value];
    }
  }

  /** This module and every module below it, parents first, with paths. */
  *walk(path = ''): Generator<[string, Module]> {
    yield [path, this];
    for (const [name, child] of this.children()) yield* child.walk(path === '' ? name : `${path}.${name}`);
  }

  /** Every place of a parameter, in the order of the modules; tied ones appear more than once. */
  *parameterPlaces(): Generator<[string, Parameter]> {
    for (const [path, module] of this.walk()) {
      for (const [name, parameter] of module.ownParameters()) {
        yield [path === '' ? name : `${path}.${name}`, parameter];
      }
    }
  }

  /** Distinct parameters by their first path. */
  parameters(): Map<string, Parameter> {
    const seen = new Set<Parameter>();
    const result = new Map<string, Parameter>();
    for (const [path, parameter] of this.parameterPlaces()) {
      if (seen.has(parameter)) continue;
      seen.add(parameter);
      result.set(path, parameter);
    }
    return result;
  }

  /** The number of trained values; tied weights count once. */
  parameterCount(): number {
    let count = 0;
    for (const parameter of this.parameters().values()) count += parameter.size;
    return count;
  }
}

/** Gives every parameter below `root` its path. Call once, when the model is complete. */
export function nameParameters<M extends Module>(root: M): M {
  for (const [path, parameter] of root.parameters()) parameter.path = path;
  return root;
}

/** Consecutive modules, named by index. */
export class ModuleList<M extends Module> extends Module {
  readonly typeName: string = 'ModuleList';
  readonly items: readonly M[];

  constructor(items: readonly M[]) {
    super();
    this.items = items;
  }

  /** The modules of the list, named by index. */
  override *children(): Generator<[string, Module]> {
    for (const [i, item] of this.items.entries()) yield [String(i), item];
  }
}

/** Consecutive modules that PyTorch prints as Sequential. */
export class Sequential<M extends Module> extends ModuleList<M> {
  override readonly typeName: string = 'Sequential';
}
