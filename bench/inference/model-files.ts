import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ggufForm } from '../../src/checkpoint/gguf/forms.ts';
import { toGguf } from '../../src/checkpoint/gguf/names.ts';
import { openGgufModel } from '../../src/checkpoint/gguf/reading/open.node.ts';
import type { GgufValue, GgufValueType, WritableGgmlType } from '../../src/checkpoint/gguf/types.ts';
import { writeGguf } from '../../src/checkpoint/gguf/writing/writer.ts';
import { openModel } from '../../src/checkpoint/load.node.ts';
import { saveModelDirectory } from '../../src/checkpoint/save.node.ts';
import { exportOnnx } from '../../src/export/onnx.node.ts';
import { type LlamaConfig, llama } from '../../src/families/llama.ts';
import { writeFileAtomic } from '../../src/files/atomic.node.ts';
import type { Parameter } from '../../src/nn/module.ts';
import { interleave, randomWeights } from './random-weights.ts';
import { syntheticVocabulary } from './vocabulary.ts';

/** The files of one shape, with the same weights in all of them; created on demand. */
export class ModelFiles {
  readonly #folder: string;

  constructor(
    /** Short name of the shape, used in file names. */
    readonly shape: string,
    readonly config: LlamaConfig,
    folder: string,
  ) {
    this.#folder = folder;
  }

  /** A GGUF file with every matrix in `type`. */
  async gguf(type: WritableGgmlType): Promise<string> {
    const path = join(this.#folder, `${this.shape}-${type.toLowerCase()}.gguf`);
    return this.#once(path, async () => {
      await writeFileAtomic(path, (sink) =>
        writeGguf(sink, {
          metadata: this.#metadata(),
          tensors: this.#parameters().map(([name, parameter]) => {
            const gguf = toGguf(ggufForm(llama, this.shape), name)!;
            const rotary = gguf.transform.startsWith('rotary');
            const read = async () => {
              const values = randomWeights(name, parameter);
              return rotary ? interleave(values, parameter, this.config.head_dim) : values;
            };
            const one = parameter.shape.length === 1;
            return { name: gguf.name, shape: parameter.shape as number[], type: one ? 'F32' : type, read };
          }),
        }),
      );
    });
  }

  /** A Hugging Face directory in float32, with the tokenizer of the GGUF files. */
  async directory(): Promise<string> {
    const path = join(this.#folder, `${this.shape}-hf`);
    const checkpoint = await openGgufModel(await this.gguf('Q8_0'));
    await checkpoint.tensors.close();
    const { tokenizer, config } = (await checkpoint.tokenizerFiles())!;
    return this.#once(path, () =>
      saveModelDirectory(path, {
        config: checkpoint.config,
        tensors: this.#parameters().map(([name, parameter]) => ({
          name,
          shape: parameter.shape as number[],
          data: () => randomWeights(name, parameter),
        })),
        files: [
          { name: 'tokenizer.json', data: JSON.stringify(tokenizer) },
          { name: 'tokenizer_config.json', data: JSON.stringify(config) },
        ],
      }),
    );
  }

  /** The source for quantization: float32, or 8 bits for a large model. */
  async finest(): Promise<string> {
    return this.isLarge ? this.gguf('Q8_0') : this.directory();
  }

  /** The float32 directory as ONNX. */
  async onnx(): Promise<string> {
    const source = await this.directory();
    const path = join(this.#folder, `${this.shape}-onnx`);
    return this.#once(path, async () => {
      const opened = await openModel(source);
      try {
        await exportOnnx(opened, path);
      } finally {
        await opened.checkpoint.tensors.close();
      }
    });
  }

  /** Parameters used in products, including the tied head but not the embedding. */
  get productWeights(): number {
    return this.#parameters().reduce((sum, [, { shape, size }]) => sum + (shape.length > 1 ? size : 0), 0);
  }

  /** Whether the model is so large that some measurements are skipped. */
  get isLarge(): boolean {
    return this.productWeights > 5e8;
  }

  #parameters(): [string, Parameter][] {
    return [...llama.build(this.config).parameters()];
  }

  async #once(path: string, make: () => Promise<unknown>): Promise<string> {
    const exists = await stat(path).then(
      () => true,
      () => false,
    );
    if (!exists) {
      process.stderr.write(`writing ${path}\n`);
      await mkdir(this.#folder, { recursive: true });
      await make();
    }
    return path;
  }

  #metadata(): (readonly [string, GgufValueType, GgufValue])[] {
    const { config } = this;
    const vocabulary = syntheticVocabulary(config.vocab_size);
    return [
      ['general.architecture', 'string', 'llama'],
      ['general.name', 'string', `random weights, ${this.shape}`],
      ['llama.context_length', 'u32', config.max_position_embeddings],
      ['llama.embedding_length', 'u32', config.hidden_size],
      ['llama.block_count', 'u32', config.num_hidden_layers],
      ['llama.feed_forward_length', 'u32', config.intermediate_size],
      ['llama.attention.head_count', 'u32', config.num_attention_heads],
      ['llama.attention.head_count_kv', 'u32', config.num_key_value_heads],
      ['llama.attention.layer_norm_rms_epsilon', 'f32', config.rms_norm_eps],
      ['llama.rope.freq_base', 'f32', config.rope_theta],
      ['llama.rope.dimension_count', 'u32', config.head_dim],
      ['llama.vocab_size', 'u32', config.vocab_size],
      ['tokenizer.ggml.model', 'string', 'gpt2'],
      ['tokenizer.ggml.pre', 'string', 'smollm'],
      ['tokenizer.ggml.tokens', { array: 'string' }, vocabulary.tokens],
      ['tokenizer.ggml.token_type', { array: 'i32' }, vocabulary.types],
      ['tokenizer.ggml.merges', { array: 'string' }, vocabulary.merges],
      ['tokenizer.ggml.bos_token_id', 'u32', config.vocab_size - 2],
      ['tokenizer.ggml.eos_token_id', 'u32', config.vocab_size - 1],
      ['tokenizer.ggml.add_bos_token', 'bool', false],
    ];
  }
}
