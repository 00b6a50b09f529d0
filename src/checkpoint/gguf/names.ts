/**
 * How a tensor is stored in GGUF, against Hugging Face's layout. Each has an inverse, so that a table serves both ways:
 * - `rotary rows`: heads' rows are interleaved pairs there and halves here (llama.cpp turns neighbours);
 * - `plus one`: the norm's weight is stored with Gemma's 1 added;
 * - `transposed`: `[out, in]` there, `[in, out]` here (GPT-2's Conv1D).
 */
export type Transform = 'same' | 'rotary rows of q' | 'rotary rows of k' | 'plus one' | 'transposed';

/** One tensor of a table: names with `{n}` for the layer's number. */
interface Rule {
  readonly ours: string;
  readonly theirs: string;
  readonly transform: Transform;
}

/** A table's rows as `[Hugging Face's name, GGUF's name, transform]`, names without `.weight`. */
type Rows = readonly (readonly [string, string, Transform?])[];

function weights(rows: Rows, suffixes: readonly string[] = ['weight']): Rule[] {
  return rows.flatMap(([ours, theirs, transform = 'same']) =>
    suffixes.map((suffix) => ({
      ours: `${ours}.${suffix}`,
      theirs: `${theirs}.${suffix}`,
      // A bias has one axis: nothing to transpose.
      transform: transform === 'transposed' && suffix === 'bias' ? 'same' : transform,
    })),
  );
}

const LAYER = 'model.layers.{n}';
const rotaryDecoder: Rows = [
  ['model.embed_tokens', 'token_embd'],
  ['lm_head', 'output'],
  [`${LAYER}.self_attn.v_proj`, 'blk.{n}.attn_v'],
  [`${LAYER}.self_attn.o_proj`, 'blk.{n}.attn_output'],
  [`${LAYER}.mlp.gate_proj`, 'blk.{n}.ffn_gate'],
  [`${LAYER}.mlp.up_proj`, 'blk.{n}.ffn_up'],
  [`${LAYER}.mlp.down_proj`, 'blk.{n}.ffn_down'],
];
const gemmaAttention: Rows = [
  [`${LAYER}.self_attn.q_proj`, 'blk.{n}.attn_q'],
  [`${LAYER}.self_attn.k_proj`, 'blk.{n}.attn_k'],
];
const gemmaNorms: Rows = [
  ['model.norm', 'output_norm', 'plus one'],
  [`${LAYER}.input_layernorm`, 'blk.{n}.attn_norm', 'plus one'],
];

/** Tensor names and transforms by `general.architecture`. */
export const TABLES: Readonly<Record<string, readonly Rule[]>> = {
  llama: [
    ...weights(rotaryDecoder),
    ...weights([
      ['model.norm', 'output_norm'],
      [`${LAYER}.input_layernorm`, 'blk.{n}.attn_norm'],
      [`${LAYER}.post_attention_layernorm`, 'blk.{n}.ffn_norm'],
      [`${LAYER}.self_attn.q_proj`, 'blk.{n}.attn_q', 'rotary rows of q'],
      [`${LAYER}.self_attn.k_proj`, 'blk.{n}.attn_k', 'rotary rows of k'],
    ]),
    ...weights(
      [
        [`${LAYER}.self_attn.q_proj`, 'blk.{n}.attn_q', 'rotary rows of q'],
        [`${LAYER}.self_attn.k_proj`, 'blk.{n}.attn_k', 'rotary rows of k'],
        [`${LAYER}.self_attn.v_proj`, 'blk.{n}.attn_v'],
        [`${LAYER}.self_attn.o_proj`, 'blk.{n}.attn_output'],
        [`${LAYER}.mlp.gate_proj`, 'blk.{n}.ffn_gate'],
        [`${LAYER}.mlp.up_proj`, 'blk.{n}.ffn_up'],
        [`${LAYER}.mlp.down_proj`, 'blk.{n}.ffn_down'],
      ],
      ['bias'],
    ),
  ],
  gemma: [
    ...weights(rotaryDecoder),
    ...weights(gemmaAttention),
    ...weights(gemmaNorms),
    ...weights([[`${LAYER}.post_attention_layernorm`, 'blk.{n}.ffn_norm', 'plus one']]),
  ],
  gemma2: [
    ...weights(rotaryDecoder),
    ...weights(gemmaAttention),
    ...weights(gemmaNorms),
    // Gemma 2's post_attention_layernorm is the norm behind the attention, not the one before the MLP.
    ...weights([
      [`${LAYER}.post_attention_layernorm`, 'blk.{n}.post_attention_norm', 'plus one'],
      [`${LAYER}.pre_feedforward_layernorm`, 'blk.{n}.ffn_norm', 'plus one'],
      [`${LAYER}.post_feedforward_layernorm`, 'blk.{n}.post_ffw_norm', 'plus one'],
    ]),
  ],
  gpt2: [
    ...weights([
      ['transformer.wte', 'token_embd'],
      ['transformer.wpe', 'position_embd'],
      ['lm_head', 'output'],
    ]),
    ...weights(
      [
        ['transformer.ln_f', 'output_norm'],
        ['transformer.h.{n}.ln_1', 'blk.{n}.attn_norm'],
        ['transformer.h.{n}.attn.c_attn', 'blk.{n}.attn_qkv', 'transposed'],
        ['transformer.h.{n}.attn.c_proj', 'blk.{n}.attn_output', 'transposed'],
        ['transformer.h.{n}.ln_2', 'blk.{n}.ffn_norm'],
        ['transformer.h.{n}.mlp.c_fc', 'blk.{n}.ffn_up', 'transposed'],
        ['transformer.h.{n}.mlp.c_proj', 'blk.{n}.ffn_down', 'transposed'],
      ],
      ['weight', 'bias'],
    ),
  ],
};

/** GGUF's name of a tensor and how it is stored there; undefined for a name that the architecture has not. */
export function toGguf(
  architecture: string,
  ours: string,
): { name: string; transform: Transform } | undefined {
  const found = match(TABLES[architecture] ?? [], ours, 'ours');
  return found && { name: found.rule.theirs.replace('{n}', found.layer), transform: found.rule.transform };
}

/** Hugging Face's name of a GGUF tensor; undefined for one that is no weight of the model. */
export function fromGguf(architecture: string, theirs: string): string | undefined {
  const found = match(TABLES[architecture] ?? [], theirs, 'theirs');
  return found?.rule.ours.replace('{n}', found.layer);
}

function match(rules: readonly Rule[], name: string, side: 'ours' | 'theirs') {
  const layer = /\.(\d{1,6})\./.exec(name)?.[1] ?? '';
  const pattern = layer === '' ? name : name.replace(`.${layer}.`, '.{n}.');
  const rule = rules.find((each) => each[side] === pattern);
  return rule && { rule, layer };
}

/**
 * The row of an interleaved head that holds a row of halves: within a head, row s · half + i (s: 0 or 1) lies at 2i + s.
 */
export function rotaryRow(row: number, headDim: number): number {
  const inHead = row % headDim;
  const half = headDim / 2;
  const second = inHead >= half ? 1 : 0;
  return row - inHead + 2 * (inHead - second * half) + second;
}
