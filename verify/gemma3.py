"""Logits and perplexity of Gemma 3 270M's GGUF by transformers in float32, eager, over the weights that the package gguf
dequantizes, on the ids that verify/gemma3.ts scored; prints both sides. Needs torch, transformers
and gguf.

    python verify/gemma3.py MODEL.gguf OUT
"""

import json
import sys

import numpy as np
import torch
from gguf import MODEL_ARCH, GGUFReader, get_tensor_name_map
from gguf.quants import dequantize
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

path, out = sys.argv[1:3]
torch.set_num_threads(2)
reader = GGUFReader(path)
number = {key.split(".", 1)[1]: field.contents() for key, field in reader.fields.items() if key.startswith("gemma3.")}
layers = int(number["block_count"])
config = Gemma3TextConfig(
    vocab_size=len(reader.fields["tokenizer.ggml.tokens"].data),
    hidden_size=int(number["embedding_length"]),
    intermediate_size=int(number["feed_forward_length"]),
    num_hidden_layers=layers,
    num_attention_heads=int(number["attention.head_count"]),
    num_key_value_heads=int(number["attention.head_count_kv"]),
    head_dim=int(number["attention.key_length"]),
    max_position_embeddings=int(number["context_length"]),
    rms_norm_eps=float(number["attention.layer_norm_rms_epsilon"]),
    query_pre_attn_scalar=int(number["attention.key_length"]),
    sliding_window=int(number["attention.sliding_window"]),
)
config._attn_implementation = "eager"
model = Gemma3ForCausalLM(config).eval()
table = get_tensor_name_map(MODEL_ARCH.GEMMA3, layers)
stored = {tensor.name: tensor for tensor in reader.tensors}
with torch.no_grad():
    for name, parameter in model.named_parameters():
        tensor = stored.pop(table.get_name(name, try_suffixes=(".weight",)))
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).reshape(parameter.shape)
        parameter.copy_(values - 1 if "norm" in name else values)
assert not stored, list(stored)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
data = json.load(open(f"{out}/ids.json"))
BOS = 2


@torch.no_grad()
def logits_of(ids):
    return model(torch.tensor([ids])).logits[0]


reference = logits_of(data["samples"]["korean"][:128]).numpy()
got = np.fromfile(f"{out}/logits.f32", dtype=np.float32).reshape(reference.shape)
print(f"logits in float32: max |difference| / max |logit| = {abs(got - reference).max() / abs(reference).max():.2e}")

ours = json.load(open(f"{out}/ours.json"))
for name, ids in data["samples"].items():
    total, count = 0.0, 0
    for start in range(1, len(ids), data["window"] - 1):
        part = [BOS] + ids[start : start + data["window"] - 1]
        logits = logits_of(part)[:-1]
        losses = torch.nn.functional.cross_entropy(logits, torch.tensor(part[1:]), reduction="none").double()
        total, count = total + losses.sum().item(), count + len(part) - 1
    theirs = float(np.exp(total / count))
    print(f"perplexity, {name}, {count} tokens: transformers {theirs:.4f}, own bits {ours[name]:.4f} "
          f"({100 * (ours[name] / theirs - 1):+.3f} %)", flush=True)
