import { gelu, mul, relu, silu } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { adopt, type ModuleNames } from './layout.ts';
import { type LinearLayout, type LinearModule, linearModule } from './linear.ts';
import { Module } from './module.ts';
import type { MlpPart, Part } from './parts.ts';

export const activationFunctions = { relu, gelu, silu } as const;
export type ActivationKind = keyof typeof activationFunctions;

/** An activation as a module, so that it appears in the printed tree. */
export class Activation extends Module {
  constructor(
    readonly typeName: string,
    readonly kind: ActivationKind,
  ) {
    super();
  }

  /** Applies the activation to every element. */
  forward(x: Tensor): Tensor {
    return activationFunctions[this.kind](x);
  }
}

export type MlpRole = 'gate' | 'up' | 'down' | 'activation' | 'dropout';

/** The parts of an MLP. */
export type MlpSettings = Omit<MlpPart, 'part'>;

export interface MlpOptions {
  readonly names: ModuleNames<MlpRole> & { readonly activation: string };
  /** Standard deviation of initial weights, and of those of the projection that ends the branch. */
  readonly std: number;
  readonly outputStd: number;
  readonly layout?: LinearLayout | undefined;
  /** Printed only. */
  readonly dropout?: Module | undefined;
}

/**
 * down(activation(up(x))), or gated: down(activation(gate(x)) · up(x)), where one half of the hidden layer gates the
 * other. With SiLU that is SwiGLU, with GELU GeGLU. Shazeer 2020, arXiv:2002.05202.
 */
export class Mlp extends Module {
  readonly typeName: string;
  readonly #settings: MlpSettings;
  readonly #gate: LinearModule | undefined;
  readonly #up: LinearModule;
  readonly #activation: Activation;
  readonly #down: LinearModule;

  constructor(settings: MlpSettings, { names, std, outputStd, layout, dropout }: MlpOptions) {
    super();
    const { width, hidden, bias, gated, activation } = settings;
    this.typeName = names.type;
    this.#settings = settings;
    this.#gate = gated ? linearModule(width, hidden, { bias, std, layout }) : undefined;
    this.#up = linearModule(width, hidden, { bias, std, layout });
    this.#down = linearModule(hidden, width, { bias, std: outputStd, layout });
    this.#activation = new Activation(names.activation, activation);
    adopt(this, names.children, {
      gate: this.#gate,
      up: this.#up,
      activation: this.#activation,
      down: this.#down,
      dropout,
    });
  }

  override describe(): Part {
    return { part: 'mlp', ...this.#settings };
  }

  /**
   * x `[…, width]` → `[…, width]`.
   * @param look receives the input of the activation function, `[…, hidden]`, and may return a replacement.
   */
  forward(x: Tensor, look: (hidden: Tensor) => Tensor = (hidden) => hidden): Tensor {
    const opened = this.#activation.forward(look((this.#gate ?? this.#up).forward(x)));
    return this.#down.forward(this.#gate ? mul(opened, this.#up.forward(x)) : opened);
  }
}
