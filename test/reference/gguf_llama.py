"""Writes Llama reference cases as GGUF files, and has llama.cpp run them.

Needs the Python packages gguf, numpy and safetensors, and a folder with `npm install node-llama-cpp@3.22.1`.
"""

import json
import os
import subprocess
import tempfile

import gguf
from safetensors.numpy import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}


def name_of(name):
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    if name == "lm_head.weight":
        return "output.weight"
    _, _, layer, rest = name.split(".", 3)
    stem, suffix = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[stem]}.{suffix}"


def interleaved(values, heads):
    """Halves of a head's rows, as neighbors."""
    shape = values.shape
    return values.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def write(path, case, missing=(), settings=None):
    """The reference case `case` without the biases in `missing`, with the metadata `settings` ({key: number or text})."""
    with open(os.path.join(HERE, case, "config.json")) as file:
        config = json.load(file)
    writer = gguf.GGUFWriter(path, "llama")
    heads, kv_heads, vocabulary = config["num_attention_heads"], config["num_key_value_heads"], config["vocab_size"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_vocab_size(vocabulary)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base((config.get("rope_parameters") or config)["rope_theta"])
    for key, value in (settings or {}).items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_float32(key, value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"<{i}>" for i in range(vocabulary)])
    writer.add_token_types([1] * vocabulary)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    for name, values in load_file(os.path.join(HERE, case, "model.safetensors")).items():
        theirs = name_of(name)
        if theirs.endswith(".bias") and any(part in theirs for part in missing):
            continue
        if ".q_proj." in name:
            values = interleaved(values, heads)
        elif ".k_proj." in name:
            values = interleaved(values, kv_heads)
        writer.add_tensor(theirs, values.astype("float32").copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


READ = """
import { readFileSync, writeFileSync } from 'node:fs';
import { getLlama } from 'node-llama-cpp';
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'fatal', progressLogs: false });
const { paths, prompt, count } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const results = [];
for (const path of paths) {
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createContext({ contextSize: 64, threads: 1 });
  const ids = [];
  for await (const id of context.getSequence().evaluate(prompt, { temperature: 0 })) {
    ids.push(id);
    if (ids.length === count) break;
  }
  results.push(ids);
  await context.dispose();
  await model.dispose();
}
writeFileSync(process.argv[3], JSON.stringify(results));
process.exit(0);
"""


def likeliest(llama_folder, paths, prompt, count=8):
    """The ids that llama.cpp finds likeliest one after another, after the prompt, of each file."""
    folder = tempfile.mkdtemp()
    asked, answered = os.path.join(folder, "asked.json"), os.path.join(folder, "answered.json")
    with open(asked, "w") as file:
        json.dump({"paths": paths, "prompt": prompt, "count": count}, file)
    script = os.path.join(llama_folder, "read.mjs")
    with open(script, "w") as file:
        file.write(READ)
    subprocess.run(["node", script, asked, answered], check=True)
    with open(answered) as file:
        return json.load(file)
