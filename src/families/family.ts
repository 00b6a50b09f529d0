import type { Tensor } from '../graph/tensor.ts';
import type { SequenceContext } from '../nn/attention.ts';
import { Module, type Parameter } from '../nn/module.ts';
import type { GgufForm, NoGguf } from './common/gguf.ts';
import type { CommonConfig, RawConfig, Warn } from './config.ts';
import type { DecoderNames, DecoderParts } from './decoder.ts';

/**
 * The output layer as the loss needs it: fused with the cross-entropy, so that not all logits exist at the same time.
 */
export interface Head {
  readonly weight: Parameter;
  readonly bias?: Parameter;
  /** The cap on the final logits; part of the model, so part of every loss. */
  readonly softcap: number | null;
}

/**
 * A model as consecutive stages, so that it can also be run and differentiated stage by stage. Activations are `[…,
 * width]` throughout.
 */
export interface Stages {
  /** Token ids of the context → the first layer's input. */
  readonly embed: (context: SequenceContext) => Tensor;
  /** In order. Layers whose graphs differ only in the names of their weights are of the same kind. */
  readonly layers: readonly ((x: Tensor, context: SequenceContext) => Tensor)[];
  /** The last layer's output → the final, normalized activations, which the head reads. */
  readonly finish: (x: Tensor, context?: SequenceContext) => Tensor;
}

/** A decoder-only language model: token ids in, a row of logits out for each. */
export abstract class CausalLM extends Module {
  abstract readonly config: CommonConfig;
  abstract readonly head: Head;
  /** The longest sequence that the positions allow. */
  abstract readonly maxPositions: number;

  abstract readonly stages: Stages;

  /** Added to the message that a sequence exceeds the positions; empty for most models. */
  get beyondPositions(): string {
    for (const [, module] of this.walk()) {
      const part = module.describe();
      if (part?.part === 'position' && part.scaling?.type === 'dynamic')
        return ' (its dynamic RoPE scaling for longer sequences is not supported)';
    }
    return '';
  }

  /** Token ids of the context → the final, normalized activations `[…, width]`: all stages one after another. */
  hiddenStates(context: SequenceContext): Tensor {
    const { embed, layers, finish } = this.stages;
    return finish(
      layers.reduce((x, layer) => layer(x, context), embed(context)),
      context,
    );
  }

  /** Names in checkpoints that are not weights (buffers), to be skipped silently. */
  isBuffer(_name: string): boolean {
    return false;
  }
}

/**
 * The initializer range of the `tiny` presets. The published 0.02 suits widths in the thousands; at width 96 every
 * layer is so weak that learning starts late. Measured on Llama at width 128: after 800 steps, the held-out loss is
 * 0.7 nats lower with 0.06 than with 0.02.
 */
export const TINY_INITIALIZER_RANGE = 0.07;

/** What is known about a published model's training. Metadata with its source; nothing is computed from it. */
export interface TrainingFacts {
  readonly data: string;
  readonly method: string;
  readonly source: string;
}

export interface Preset<C extends CommonConfig> {
  readonly config: C;
  readonly training?: TrainingFacts;
  /** Repository on the Hugging Face hub. */
  readonly hub?: string;
}

/** A multimodal model whose text part is a model of a family. */
export interface MultimodalForm {
  /** Its `model_type`; the text part's config is in its `text_config`. */
  readonly modelType: string;
  /** The text part's name of a tensor, as in a text-only checkpoint; undefined for a tensor of another part. */
  textName(name: string): string | undefined;
}

/** A family is data and modules: no other code asks for its name. */
export interface Family<C extends CommonConfig = CommonConfig> {
  /** The name on the command line. */
  readonly name: string;
  readonly title: string;
  /** `model_type` and `architectures[0]` in config.json. */
  readonly modelType: string;
  readonly architecture: string;
  readonly multimodal?: MultimodalForm;
  /** How the family as a whole was trained, for columns that are not about one size. */
  readonly training: TrainingFacts;
  /** What readers of a comparison should know about this column. */
  readonly note?: { readonly en: string; readonly ko: string };
  /** The name of the previous generation. */
  readonly predecessor?: string;
  /** The preset meant by the family's name alone. */
  readonly defaultPreset: string;
  readonly presets: Readonly<Record<string, Preset<C>>>;
  /**
   * Hugging Face's config.json (either form) → a checked config.
   * @param warn receives assumptions about the file.
   */
  readConfig(raw: RawConfig, file: string, warn?: Warn): C;
  writeConfig(config: C): Record<string, unknown>;
  /**
   * The config of a model with these layers, by index, in this order. An index may be repeated. Per-layer fields
   * follow their layers.
   */
  withLayers(config: C, layers: readonly number[]): C;
  /** The parts of a model with this config. */
  parts(config: C): DecoderParts;
  /** The checkpoint names of its modules. */
  readonly names: DecoderNames;
  /** Its form in llama.cpp's files, or why it has none. */
  readonly gguf: GgufForm<C> | NoGguf;
  /** Whether transformers.js 4 has a class for its model type. */
  readonly transformersJs: boolean;
  build(config: C): CausalLM;
}
