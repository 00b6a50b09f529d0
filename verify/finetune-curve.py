"""The training that verify/finetune-curve.ts did, done again by transformers and torch.optim.AdamW in float32, from the
files it wrote; prints both curves and how far they are apart. Needs torch and transformers. What it printed is in
finetune-curve.txt.

    python verify/finetune-curve.py OUT [--threads 2] [--attention eager|sdpa]

Exits with 1 when a step's losses differ by more than 1e-3.
"""

import argparse
import json
import sys

import numpy as np
import torch
import transformers

parser = argparse.ArgumentParser()
parser.add_argument("out")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--attention", choices=["eager", "sdpa"], default="eager")
parser.add_argument("--fused", action="store_true", help="the optimizer's fused form: the same sums, faster")
parser.add_argument("--padding-index", action="store_true", help="leave transformers' padding token as it is")
options = parser.parse_args()
torch.set_num_threads(options.threads)

record = json.load(open(f"{options.out}/curve.json"))
settings, curve = record["settings"], record["curve"]
shape = (settings["steps"], settings["batch"], settings["seq"])


def read(name, dtype):
    return torch.from_numpy(np.fromfile(f"{options.out}/{name}", dtype=dtype).reshape(shape))


ids, targets = read("ids.i32", np.int32).long(), read("targets.i32", np.int32).long()
weights = read("weights.f32", np.float32)
model = transformers.AutoModelForCausalLM.from_pretrained(
    f"{options.out}/model", dtype=torch.float32, attn_implementation=options.attention
).eval()  # no dropout, as in the model's own configuration
if not options.padding_index:
    # A quirk of transformers: where the embedding has a padding token (SmolLM2's is <|im_end|>, the end of every turn),
    # PyTorch leaves that token's part as an input out of the gradient. This is the derivative.
    model.get_input_embeddings().padding_idx = None

decayed = set(record["decayed"])
named = dict(model.named_parameters())
assert decayed <= set(named), decayed - set(named)
groups = [
    {"params": [p for name, p in named.items() if name in decayed], "weight_decay": settings["weightDecay"]},
    {"params": [p for name, p in named.items() if name not in decayed], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(settings["beta1"], settings["beta2"]), eps=settings["eps"], fused=options.fused)

print(f"torch {torch.__version__}, transformers {transformers.__version__}, attention {options.attention}, "
      f"padding_idx {model.get_input_embeddings().padding_idx}, {settings}")
print(f"{sum(p.numel() for p in named.values()):,} parameters; {int(weights.sum()):,} trained tokens\n")
print("step      PyTorch     Ropewalk   difference   norm: PyTorch     Ropewalk")
worst, worst_norm = 0.0, 0.0
for step, ours in enumerate(curve):
    for group in optimizer.param_groups:
        group["lr"] = ours["learningRate"]
    logits = model(input_ids=ids[step], use_cache=False).logits
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets[step].flatten(), reduction="none")
    loss = (losses * weights[step].flatten()).sum() / weights[step].sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    # In float64: PyTorch's own float32 sum over 28 million numbers is off by 2e-5. Clipping is as PyTorch does it.
    squares = [torch.linalg.vector_norm(p.grad, dtype=torch.float64) ** 2 for p in model.parameters()]
    norm = sum(squares).sqrt().item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
    optimizer.step()
    difference = abs(loss.item() - ours["loss"])
    worst = max(worst, difference)
    worst_norm = max(worst_norm, abs(norm / ours["gradientNorm"] - 1))
    print(
        f"{step + 1:4d} {loss.item():12.6f} {ours['loss']:12.6f} {difference:12.1e} "
        f"{norm:15.5f} {ours['gradientNorm']:12.5f}",
        flush=True,
    )
verdict = "within" if worst <= 1e-3 else "NOT within"
print(f"\nlargest difference of a step's loss: {worst:.2e} ({verdict} 1e-3); of a norm, relative: {worst_norm:.1e}")
sys.exit(worst > 1e-3)
