"""Logits and perplexity of Gemma 3 270M's GGUF by transformers in float32, eager, over the weights that the package gguf
dequantizes, on the ids that verify/gemma3.ts scored; prints both sides. Needs torch, transformers, gguf and accelerate.

    python verify/gemma3.py MODEL.gguf OUT
"""

import json
import os
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM

path, out = sys.argv[1:3]
torch.set_num_threads(2)
model = AutoModelForCausalLM.from_pretrained(
    os.path.dirname(path), gguf_file=os.path.basename(path), dtype=torch.float32, attn_implementation="eager"
).eval()
print(model.config.layer_types.count("full_attention"), model.config.rope_parameters, model.config.sliding_window)
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
