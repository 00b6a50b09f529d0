"""Llama files that lack some of their biases, as llama.cpp runs them: gguf-biases.json.

    npm install node-llama-cpp@3.22.1          # in a folder of its own, whose path is the argument
    python test/reference/make_gguf_biases.py FOLDER

Needs the Python packages gguf, numpy and safetensors. The reference case llama-bias is written without the biases that
each case names, and stored are the ids that llama.cpp then finds the likeliest one after another.
"""

import json
import os
import subprocess
import sys
import tempfile

import gguf
from safetensors.numpy import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
CASE = os.path.join(HERE, "llama-bias")
with open(os.path.join(CASE, "config.json")) as file:
    config = json.load(file)
weights = load_file(os.path.join(CASE, "model.safetensors"))
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}
CASES = {
    "none is missing": [],
    "the output's": ["attn_output"],
    "all but the queries'": ["attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"],
    "the first layer's": ["blk.0"],
    "all of attention": ["attn_q", "attn_k", "attn_v", "attn_output"],
    "all of the MLP but one": ["ffn_gate", "ffn_up", "blk.0.ffn_down"],
}
PROMPT = [5, 17, 33, 3, 42, 7, 7, 12]


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


def write(path, missing):
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
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"<{i}>" for i in range(vocabulary)])
    writer.add_token_types([1] * vocabulary)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    for name, values in weights.items():
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
const { paths, prompt } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const results = [];
for (const path of paths) {
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createContext({ contextSize: 64 });
  const ids = [];
  for await (const id of context.getSequence().evaluate(prompt, { temperature: 0 })) {
    ids.push(id);
    if (ids.length === 8) break;
  }
  results.push(ids);
  await context.dispose();
  await model.dispose();
}
writeFileSync(process.argv[3], JSON.stringify(results));
process.exit(0);
"""

folder = tempfile.mkdtemp()
paths = []
for i, missing in enumerate(CASES.values()):
    paths.append(os.path.join(folder, f"{i}.gguf"))
    write(paths[-1], missing)
with open(os.path.join(folder, "list.json"), "w") as file:
    json.dump({"paths": paths, "prompt": PROMPT}, file)
script = os.path.join(sys.argv[1], "read-biases.mjs")
with open(script, "w") as file:
    file.write(READ)
subprocess.run(["node", script, os.path.join(folder, "list.json"), os.path.join(folder, "out.json")], check=True)
with open(os.path.join(folder, "out.json")) as file:
    results = json.load(file)
cases = [{"name": name, "missing": missing, "ids": ids} for (name, missing), ids in zip(CASES.items(), results)]
with open(os.path.join(HERE, "gguf-biases.json"), "w") as file:
    json.dump({"prompt": PROMPT, "cases": cases}, file, indent=1)
    file.write("\n")
for each in cases:
    print(each["name"], each["ids"])
