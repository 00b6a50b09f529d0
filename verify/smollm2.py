"""Perplexity, LAMBADA's last words and logits of a GGUF model by transformers in float32, eager, on the ids that
verify/smollm2.ts scored; prints both sides. Needs torch, transformers, gguf and accelerate.

    python verify/smollm2.py MODEL.gguf OUT
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
data = json.load(open(f"{out}/ids.json"))
ours = json.load(open(f"{out}/ours.json"))


@torch.no_grad()
def logits_of(ids):
    return model(torch.tensor([ids])).logits[0]


reference = logits_of(data["samples"]["tinyshakespeare"][:256]).numpy()
got = np.fromfile(f"{out}/logits.f32", dtype=np.float32).reshape(reference.shape)
print(f"logits in float32: max |difference| / max |logit| = {abs(got - reference).max() / abs(reference).max():.2e}")

window = data["window"]
perplexities = {}
for name, ids in data["samples"].items():
    total, count = 0.0, 0
    for start in range(0, len(ids) - 1, window - 1):
        part = ids[start : start + window]
        logits = logits_of(part)[:-1].double()
        losses = torch.nn.functional.cross_entropy(logits, torch.tensor(part[1:]), reduction="sum")
        total, count = total + losses.item(), count + len(part) - 1
    perplexities[name] = float(np.exp(total / count))
right = 0
for passage in data["passages"]:
    ids = passage["context"] + passage["target"][:-1]
    best = logits_of(ids)[len(passage["context"]) - 1 :].argmax(-1).tolist()
    right += best == passage["target"]
lambada = right / len(data["passages"])

tokens = {name: len(ids) for name, ids in data["samples"].items()}
print(f"tokens scored: {tokens}, windows of {window}; LAMBADA passages: {len(data['passages'])}\n")
print("| weights | " + " | ".join(f"perplexity, {name}" for name in perplexities) + " | LAMBADA last word |")
print("|---|" + "---|" * (len(perplexities) + 1))
print("| transformers, float32 | " + " | ".join(f"{p:.4f}" for p in perplexities.values()) + f" | {lambada:.4f} |")
for row in ours:
    cells = [
        f"{value:.4f} ({100 * (value / perplexities[name] - 1):+.3f} %)" for name, value in row["perplexities"].items()
    ]
    print(f"| {row['form']} | " + " | ".join(cells) + f" | {row['lambada']:.4f} |")
