import { RopewalkError } from '../errors.ts';
import { sizeOf } from '../graph/dims.ts';
import { parameter as parameterInput } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { Part } from './parts.ts';

/** How a weight starts when nothing is loaded: N(0, std²), or one number everywhere. */
export type Initializer = { readonly normal: number } | { readonly fill: number };

/** A trained weight. Two modules that hold the same object are tied: it is one weight, and its gradients add up. */
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
 * A piece of a model. Properties that are modules, lists of modules or parameters are its children, in the order
 * in which they are assigned; their names are the paths in checkpoints.
 */
export abstract class Module {
  /** The class name that PyTorch prints. */
  abstract readonly typeName: string;

  /** What PyTorch prints between the parentheses. */
  extra(): string {
    return '';
  }

  /** What this module is, for tables and diagrams; containers have nothing to say. */
  describe(): Part | undefined {
    return undefined;
  }

  /** Whether PyTorch has this as a module too, and so prints it; plain tensors there are none. */
  get isPrinted(): boolean {
    return true;
  }

  /** The modules right below this one, with their names. */
  *children(): Generator<[string, Module]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Module) yield [name, value];
    }
  }

  /** The parameters that stand in this module itself, with their names. */
  *ownParameters(): Generator<[string, Parameter]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Parameter) yield [name, value];
    }
  }

  /** Every module below this one and itself, parents first, with its path. */
  *walk(path = ''): Generator<[string, Module]> {
    yield [path, this];
    for (const [name, child] of this.children()) yield* child.walk(path === '' ? name : `${path}.${name}`);
  }

  /** Every place where a parameter stands, ties more than once, in the order of the modules. */
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

  /** The number of distinct trained numbers: ties count once. */
  parameterCount(): number {
    let count = 0;
    for (const parameter of this.parameters().values()) count += parameter.size;
    return count;
  }
}

/** Gives every parameter below `root` the path it has there. Call once, when the model is complete. */
export function nameParameters<M extends Module>(root: M): M {
  for (const [path, parameter] of root.parameters()) parameter.path = path;
  return root;
}

/** Modules in a row, known by their number. */
export class ModuleList<M extends Module> extends Module {
  readonly typeName: string = 'ModuleList';
  readonly items: readonly M[];

  constructor(items: readonly M[]) {
    super();
    this.items = items;
  }

  /** The modules of the list, named by their number. */
  override *children(): Generator<[string, Module]> {
    for (const [i, item] of this.items.entries()) yield [String(i), item];
  }
}

/** Modules in a row that PyTorch prints as Sequential. */
export class Sequential<M extends Module> extends ModuleList<M> {
  override readonly typeName: string = 'Sequential';
}
