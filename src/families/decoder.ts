import { add, mul, scalar } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { AttentionSettings, SequenceContext } from '../nn/attention.ts';
import { Embedding } from '../nn/embedding.ts';
import { adopt, type ModuleNames } from '../nn/layout.ts';
import { Dropout, Linear, type LinearLayout } from '../nn/linear.ts';
import { type ActivationKind, Mlp, type MlpRole } from '../nn/mlp.ts';
import { Module, ModuleList, nameParameters } from '../nn/module.ts';
import { createNorm, Identity, type Norm, type NormSettings } from '../nn/norm.ts';
import type { Part } from '../nn/parts.ts';
import { LearnedPositions, RotaryEmbedding, SinusoidalPositions } from '../nn/positions.ts';
import type { RopeScaling } from '../nn/rope-scaling.ts';
import { type AttentionRole, SelfAttention } from '../nn/self-attention.ts';
import type { CommonConfig } from './config.ts';
import { CausalLM, type Family, type Head, type Stages } from './family.ts';

/** Places of norms in a layer: before a branch, or after it and before the residual addition. */
export type NormPlace = 'attentionNorm' | 'attentionPostNorm' | 'mlpNorm' | 'mlpPostNorm';

/** A rotary table. Layers that share one refer to the same object. */
export interface RopeParts {
  readonly theta: number;
  readonly scaling: RopeScaling | null;
}

/** One layer as data. */
export interface LayerParts {
  readonly norms: Readonly<Partial<Record<NormPlace, NormSettings>>>;
  readonly attention: AttentionSettings & {
    readonly bias: boolean;
    readonly outputBias: boolean;
    /** Per-head norms of queries and keys. */
    readonly headNorm?: NormSettings;
  };
  /** Null for a layer without RoPE. */
  readonly rope: RopeParts | null;
  readonly mlp: {
    readonly activation: ActivationKind;
    readonly gated: boolean;
    readonly hidden: number;
    readonly bias: boolean;
  };
  /** The factor of each branch before the residual addition. Default 1. */
  readonly branchScale?: number;
}

/** A decoder-only model as data: a family makes it from a config, and its parts can be exchanged. */
export interface DecoderParts {
  readonly vocabSize: number;
  readonly width: number;
  readonly maxPositions: number;
  /** The factor of token embeddings; a tied head is not scaled. Default 1. */
  readonly embeddingScale?: number;
  readonly paddingId?: number | undefined;
  /** Positions that are added to the embedding; null if there are none or layers use RoPE. */
  readonly positions: 'sinusoidal' | 'learned' | null;
  readonly layers: readonly LayerParts[];
  /** Before the head. */
  readonly norm: NormSettings;
  readonly head: {
    readonly tied: boolean;
    readonly bias: boolean;
    readonly softcap: number | null;
    /** The factor of the logits, before the cap. Default 1. */
    readonly scale?: number;
  };
  readonly initial: {
    /** Standard deviation of the initial weights. */
    readonly std: number;
    /** Of the projections that end a branch. Defaults to `std`. */
    readonly outputStd?: number;
  };
  /** Printed only: Ropewalk trains without dropout. */
  readonly dropout?: Readonly<Partial<Record<'embedding' | 'attention' | 'residual', number>>>;
}

/** The checkpoint names of a decoder's modules. */
export interface DecoderNames {
  readonly model: ModuleNames<'body' | 'head'>;
  readonly body: ModuleNames<
    'embedding' | 'positions' | 'dropout' | 'layers' | 'norm' | 'rotary' | 'localRotary'
  >;
  readonly layer: ModuleNames<'attention' | 'mlp' | NormPlace | 'dropout' | 'dropout2'>;
  readonly attention: ModuleNames<AttentionRole>;
  readonly mlp: ModuleNames<MlpRole>;
  /** Norms for which PyTorch prints an Identity if a model lacks them. */
  readonly identities?: readonly NormPlace[];
  /** Class names of the leaves. */
  readonly embedding: string;
  readonly norm: string;
  readonly activation: string;
  readonly rotary: string;
  readonly layout?: LinearLayout;
  /** Names in checkpoints that are not weights. */
  readonly buffers?: RegExp;
}

class DecoderLayer extends Module {
  readonly typeName: string;
  readonly #path: string;
  readonly #branchScale: number;
  readonly #attention: SelfAttention;
  readonly #mlp: Mlp;
  readonly #norms: Partial<Record<NormPlace, Norm>>;

  constructor(index: number, parts: DecoderParts, names: DecoderNames, rope: RotaryEmbedding | null) {
    super();
    const { width, initial, dropout } = parts;
    const { norms, attention, mlp, branchScale = 1 } = parts.layers[index]!;
    const { bias, outputBias, headNorm, ...settings } = attention;
    const { layout } = names;
    const starts = { std: initial.std, outputStd: initial.outputStd ?? initial.std, layout };
    const drop = (p: number | undefined) => (p === undefined ? undefined : new Dropout(p));
    this.typeName = names.layer.type;
    this.#path = `layers.${index}`;
    this.#branchScale = branchScale;
    this.#attention = new SelfAttention(settings, {
      ...starts,
      names: { ...names.attention, norm: names.norm },
      width,
      rope,
      bias: { projections: bias, output: outputBias },
      headNorm,
      dropouts: printed(names.attention, {
        dropout: drop(dropout?.attention),
        outputDropout: drop(dropout?.residual),
      }),
    });
    this.#mlp = new Mlp(
      { ...mlp, width },
      {
        ...starts,
        names: { ...names.mlp, activation: names.activation },
        ...printed(names.mlp, { dropout: drop(dropout?.residual) }),
      },
    );
    this.#norms = Object.fromEntries(
      Object.entries(norms).map(([place, settings]) => [place, createNorm(names.norm, width, settings)]),
    );
    adopt(this, names.layer.children, {
      attention: this.#attention,
      mlp: this.#mlp,
      ...Object.fromEntries((names.identities ?? []).map((place) => [place, new Identity()])),
      ...this.#norms,
      ...printed(names.layer, { dropout: drop(dropout?.residual), dropout2: drop(dropout?.residual) }),
    });
  }

  override describe(): Part {
    return { part: 'layer', branchScale: this.#branchScale };
  }

  /** x `[…, width]` → the same shape. */
  forward(x: Tensor, context: SequenceContext): Tensor {
    const at = (name: string, value: Tensor) => context.taps?.tap(`${this.#path}.${name}`, value) ?? value;
    const norm = (place: NormPlace, value: Tensor) => this.#norms[place]?.forward(value) ?? value;
    const start = at('input', x);
    const attended = at(
      'attention.output',
      this.#attention.forward(at('attention.input', norm('attentionNorm', start)), context),
    );
    const middle = this.#join(start, norm('attentionPostNorm', attended));
    const mapped = at(
      'mlp.output',
      this.#mlp.forward(at('mlp.input', norm('mlpNorm', middle)), (hidden) => at('mlp.hidden', hidden)),
    );
    return at('output', this.#join(middle, norm('mlpPostNorm', mapped)));
  }

  #join(x: Tensor, branch: Tensor): Tensor {
    return add(x, this.#branchScale === 1 ? branch : mul(branch, scalar(this.#branchScale)));
  }
}

/** Modules that only appear in printed trees are made if the checkpoint has a name for them. */
function printed<Role extends string>(
  { children }: ModuleNames<Role>,
  parts: Partial<Record<Role, Module | undefined>>,
): Partial<Record<Role, Module>> {
  return Object.fromEntries(
    Object.entries(parts).filter(([role, part]) => part !== undefined && role in children),
  ) as Partial<Record<Role, Module>>;
}

/** One table for each that layers share; that of local layers comes second, whichever layer is first. */
function rotaryTables({ layers }: DecoderParts, typeName: string): Map<RopeParts, RotaryEmbedding> {
  const ropes = new Map(
    layers.flatMap(({ rope, attention }) => (rope ? [[rope, attention.headDim] as const] : [])),
  );
  const isLocal = (rope: RopeParts) =>
    layers.every((layer) => layer.rope !== rope || layer.attention.window !== null);
  const sorted = [...ropes].sort(([a], [b]) => Number(isLocal(a)) - Number(isLocal(b)));
  return new Map(
    sorted.map(([rope, headDim], i) => [
      rope,
      new RotaryEmbedding(typeName, headDim, rope.theta, rope.scaling, i > 0),
    ]),
  );
}

class DecoderBody extends Module {
  readonly typeName: string;
  readonly #embedding: Embedding;
  readonly #positions: SinusoidalPositions | LearnedPositions | undefined;
  readonly #layers: readonly DecoderLayer[];
  readonly #norm: Norm;

  constructor(parts: DecoderParts, names: DecoderNames) {
    super();
    const { vocabSize, width, maxPositions, initial, embeddingScale, paddingId, dropout } = parts;
    this.typeName = names.body.type;
    this.#embedding = new Embedding(vocabSize, width, initial.std, {
      typeName: names.embedding,
      paddingId,
      ...(embeddingScale !== undefined && { scale: embeddingScale }),
    });
    if (parts.positions === 'sinusoidal') this.#positions = new SinusoidalPositions(maxPositions, width);
    if (parts.positions === 'learned') {
      this.#positions = new LearnedPositions(maxPositions, width, initial.std);
    }
    const ropes = rotaryTables(parts, names.rotary);
    this.#layers = parts.layers.map(
      ({ rope }, i) => new DecoderLayer(i, parts, names, rope && ropes.get(rope)!),
    );
    this.#norm = createNorm(names.norm, width, parts.norm);
    const [rotary, localRotary] = ropes.values();
    adopt(this, names.body.children, {
      embedding: this.#embedding,
      positions: this.#positions,
      layers: new ModuleList(this.#layers),
      norm: this.#norm,
      rotary,
      localRotary,
      ...printed(names.body, {
        dropout: dropout?.embedding === undefined ? undefined : new Dropout(dropout.embedding),
      }),
    });
  }

  get embedding(): Embedding {
    return this.#embedding;
  }

  stages(logitScale: number): Stages {
    return {
      embed: ({ ids, positionIds, taps }) => {
        const tokens = this.#embedding.forward(ids);
        const x = this.#positions ? add(tokens, this.#positions.forward(positionIds)) : tokens;
        return taps?.tap('embedding', x) ?? x;
      },
      layers: this.#layers.map((layer) => (x, context) => layer.forward(x, context)),
      finish: (x, context) => {
        const taps = context?.taps;
        // Logits are linear in the head's input, so their scale can be part of the norm, unless the norm is tapped.
        if (!taps?.wants('norm')) return this.#norm.forward(x, logitScale);
        const normed = taps.tap('norm', this.#norm.forward(x));
        return logitScale === 1 ? normed : mul(normed, scalar(logitScale));
      },
    };
  }
}

/** A decoder-only model assembled from parts. */
class DecoderLM extends CausalLM {
  readonly typeName: string;
  readonly maxPositions: number;
  readonly #parts: DecoderParts;
  readonly #body: DecoderBody;
  readonly #head: Linear;
  readonly #buffers: RegExp | undefined;

  constructor(
    override readonly config: CommonConfig,
    parts: DecoderParts,
    names: DecoderNames,
  ) {
    super();
    const { vocabSize, width, initial, head } = parts;
    this.typeName = names.model.type;
    this.maxPositions = parts.maxPositions;
    this.#parts = parts;
    this.#buffers = names.buffers;
    this.#body = new DecoderBody(parts, names);
    this.#head = new Linear(width, vocabSize, {
      bias: head.bias,
      std: initial.std,
      ...(head.tied && { tied: this.#body.embedding.weight }),
    });
    adopt(this, names.model.children, { body: this.#body, head: this.#head });
  }

  override describe(): Part {
    return { part: 'model', logitScale: this.#parts.head.scale ?? 1 };
  }

  get head(): Head {
    const { weight, bias } = this.#head;
    return { weight, ...(bias && { bias }), softcap: this.#parts.head.softcap };
  }

  get stages(): Stages {
    return this.#body.stages(this.#parts.head.scale ?? 1);
  }

  override isBuffer(name: string): boolean {
    return this.#buffers?.test(name) ?? false;
  }
}

/**
 * Defines a family from the parts that it declares; its models are assembled from them, and its config.json begins
 * with its names.
 */
export function defineFamily<C extends CommonConfig>(family: Omit<Family<C>, 'build'>): Family<C> {
  const { parts, names, modelType, architecture } = family;
  return {
    ...family,
    writeConfig: (config) => ({
      architectures: [architecture],
      model_type: modelType,
      ...family.writeConfig(config),
    }),
    build: (config) => nameParameters(new DecoderLM(config, parts(config), names)),
  };
}
