"""A llama student taught by a gemma2 teacher: losses and gradients by transformers and autograd, in distillation.json.

    python make_distillation.py
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from exact import double_model, exact_float64
from safetensors import safe_open
from transformers import AutoModelForCausalLM

here = Path(__file__).parent


def load(name):
    model = AutoModelForCausalLM.from_pretrained(here / name, attn_implementation="eager", dtype=torch.float32)
    return double_model(model.eval())


teacher, student = load("gemma2"), load("llama")
with safe_open(here / "llama/expected.safetensors", "pt") as file:
    ids = file.get_tensor("ids")
cases = []
with torch.no_grad(), exact_float64():
    theirs = teacher(ids, use_cache=False).logits[:, :-1]
for temperature, ratio in [(1, 1), (2, 0.6)]:
    student.zero_grad()
    with exact_float64():
        logits = student(ids, use_cache=False).logits[:, :-1]
        p = F.softmax(theirs / temperature, dim=-1)
        log_q = F.log_softmax(logits / temperature, dim=-1)
        divergence = F.kl_div(log_q, p, reduction="none").sum(-1).mean()
        entropy = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss = ratio * temperature**2 * divergence + (1 - ratio) * entropy
        loss.backward()
    gradients = {
        name: {"norm": parameter.grad.norm().item(), "first": parameter.grad.flatten()[:8].tolist()}
        for name, parameter in student.named_parameters()
    }
    cases.append({"temperature": temperature, "ratio": ratio, "loss": loss.item(), "gradients": gradients})
versions = {"torch": torch.__version__, "transformers": transformers.__version__}
(here / "distillation.json").write_text(json.dumps({**versions, "cases": cases}, indent=1) + "\n")
print([case["loss"] for case in cases])
