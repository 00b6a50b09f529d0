import type { Tensor } from '../graph/tensor.ts';
import type { SequenceContext } from '../nn/attention.ts';
import { Module, type Parameter } from '../nn/module.ts';
import type { GgufForm, NoGguf } from './common/gguf.ts';
import type { CommonConfig, RawConfig, Warn } from './config.ts';
import type { DecoderNames, DecoderParts } from './decoder.ts';

/** The output layer as the loss needs it: fused with the cross-entropy, so that all logits never exist at once. */
export interface Head {
  readonly weight: Parameter;
  readonly bias?: Parameter;
  /** The final logits' soft-cap; part of the model, so part of every loss. */
  readonly softcap: number | null;
}

/**
 * A model as what happens one after another, so that it can also be run and differentiated piece by piece. Activations
 * are `[…, width]` throughout.
 */
export interface Stages {
  /** Token ids of the context → the first layer's input. */
  readonly embed: (context: SequenceContext) => Tensor;
  /** In order. Layers whose graphs are equal but for the names of their weights are layers of one kind. */
  readonly layers: readonly ((x: Tensor, context: SequenceContext) => Tensor)[];
  /** What the last layer gives → the final, normalized activations, which the head reads. */
  readonly finish: (x: Tensor, context?: SequenceContext) => Tensor;
}

/** A decoder-only language model: token ids in, a row of logits for each out. */
export abstract class CausalLM extends Module {
  abstract readonly config: CommonConfig;
  abstract readonly head: Head;
  /** The longest sequence that the positions allow. */
  abstract readonly maxPositions: number;

  abstract readonly stages: Stages;

  /** What to add to a message that a sequence is longer than the positions; nothing for most models. */
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

  /** Names in checkpoints that are no weights (buffers), to be skipped without complaint. */
  isBuffer(_name: string): boolean {
    return false;
  }
}

/**
 * Where the weights of the `tiny` presets start. The published 0.02 suits widths in the thousands; at width 96 it makes
 * every layer so weak that learning begins late. Measured on Llama at width 128: after 800 steps, the held-out loss is
 * 0.7 nats lower from 0.06 than from 0.02.
 */
export const TINY_INITIALIZER_RANGE = 0.07;

/** What is known of how a published model was trained. Metadata, with its source: nothing is computed from it. */
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
  /** The text part's name of a tensor, as in a checkpoint of its own; undefined for a tensor of another part. */
  textName(name: string): string | undefined;
}

/** A family is data and modules: nothing elsewhere asks for its name. */
export interface Family<C extends CommonConfig = CommonConfig> {
  /** The name on the command line. */
  readonly name: string;
  readonly title: string;
  /** `model_type` and `architectures[0]` in config.json. */
  readonly modelType: string;
  readonly architecture: string;
  readonly multimodal?: MultimodalForm;
  /** How the family as a whole was trained, for the column that is not about one size. */
  readonly training: TrainingFacts;
  /** What a reader of a comparison should know of this column. */
  readonly note?: { readonly en: string; readonly ko: string };
  /** The family that this one is the next generation of, by name. */
  readonly predecessor?: string;
  /** The preset that the family's name alone stands for. */
  readonly defaultPreset: string;
  readonly presets: Readonly<Record<string, Preset<C>>>;
  /**
   * Hugging Face's config.json (either form) → a checked config.
   * @param warn takes what the file leaves open.
   */
  readConfig(raw: RawConfig, file: string, warn?: Warn): C;
  writeConfig(config: C): Record<string, unknown>;
  /**
   * The config of a model with these layers of this one, by their numbers, in this order. A number may stand twice. What
   * the config says of each layer goes with it.
   */
  withLayers(config: C, layers: readonly number[]): C;
  /** What a model of this config is made of. */
  parts(config: C): DecoderParts;
  /** What checkpoints call its modules. */
  readonly names: DecoderNames;
  /** How llama.cpp's files have it, or why it has no such form. */
  readonly gguf: GgufForm<C> | NoGguf;
  /** Whether transformers.js 4 has a class for its model type. */
  readonly transformersJs: boolean;
  build(config: C): CausalLM;
}
