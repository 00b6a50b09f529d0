"""
What PyTorch does in float16: half.json.

    python make_half.py

- `rounded`: float32 numbers and the float16 numbers that torch rounds them to.
- `scale`: the factor of torch.amp.GradScaler with its defaults after each of some steps, whose gradients are finite or not.
- `curves`: for each case with a curve, how far its losses are from float32's under torch.autocast with float16 (and a GradScaler) and
  with bfloat16, at most over the 50 steps: a yardstick, no bound.
"""

import json
import struct
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
FACTOR = 1024.0


def bits(x):
    return struct.pack(">f", x).hex()


def rounded():
    generator = torch.Generator().manual_seed(7)
    whole = torch.tensor([0.0, -0.0, 1.0, 65504.0, 65519.0, 65520.0, -65520.0, 1e9, float("inf"), 2**-24, 2**-25, 3 * 2**-25])
    ties = 1 + torch.arange(0, 8) * 2**-11
    small = torch.rand(40, generator=generator) * 2**-14
    normal = torch.randn(60, generator=generator) * 10 ** torch.linspace(-8, 5, 60)
    x = torch.cat([whole, ties, -ties, small, normal])
    return [[bits(a), bits(b)] for a, b in zip(x.tolist(), x.half().float().tolist())]


def scale():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    scaler = torch.amp.GradScaler("cpu")
    # Runs of finite steps, each followed by one that is not.
    runs, factors = [3, 0, 0, 2000, 1999, 4001, 1], []
    for run in runs:
        for finite in [True] * run + [False]:
            optimizer.zero_grad()
            scaler.scale(weight.sum()).backward()
            if not finite:
                weight.grad.fill_(float("inf"))
            scaler.step(optimizer)
            scaler.update()
        factors.append(scaler.get_scale())
    return {"finite": runs, "factor": factors}


def curve(name, dtype):
    folder = HERE / name
    expected = json.loads((folder / "expected.json").read_text())["curve"]
    batches = load_file(folder / "curve.safetensors")["batches"]
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    parameters = dict(model.named_parameters())
    how = {key: value for key, value in expected["optimizer"].items() if key not in ("name", "weight_decay")}
    decayed = expected["decayed_parameters"]
    optimizer = torch.optim.AdamW(
        [
            {"params": [parameters[each] for each in decayed], "weight_decay": expected["optimizer"]["weight_decay"]},
            {"params": [each for key, each in parameters.items() if key not in decayed], "weight_decay": 0.0},
        ],
        foreach=False,
        **how,
    )
    # A skipped step would be another curve.
    scaler = torch.amp.GradScaler("cpu", init_scale=FACTOR, enabled=dtype is torch.float16)
    distance = 0.0
    for batch, right in zip(batches, expected["losses"], strict=True):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32):
            logits = model(batch[:, :-1], use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), expected["clip_grad_norm"])
        scaler.step(optimizer)
        scaler.update()
        distance = max(distance, abs(loss.item() - right))
    assert scaler.get_scale() in (1.0, FACTOR), "a step was skipped"
    return distance


if __name__ == "__main__":
    torch.set_num_threads(1)
    names = sorted(path.parent.name for path in HERE.glob("*/curve.safetensors"))
    curves = {}
    for name in names:
        assert curve(name, torch.float32) < 1e-5, name
        curves[name] = {
            "float16": float(f"{curve(name, torch.float16):.2g}"),
            "bfloat16": float(f"{curve(name, torch.bfloat16):.2g}"),
        }
        print(name, curves[name])
    result = {"rounded": rounded(), "scale": scale(), "factor": FACTOR, "curves": curves}
    (HERE / "half.json").write_text(json.dumps(result) + "\n")
