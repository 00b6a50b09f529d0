"""Writes the reference cases of this folder from transformers' own models. See README.md for what the files are.

    python make_reference.py              # everything
    python make_reference.py llama gpt2   # these cases alone
    python make_reference.py trees        # the printed trees alone
"""

import json
import sys
from pathlib import Path

import torch
import transformers

sys.dont_write_bytecode = True  # before the imports from this folder

from cases import CASES, CURVES, HUB_FORMS, TREES, VOCABULARY
from exact import double_model, exact_float64, losses_and_gradients
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

HERE = Path(__file__).resolve().parent
FIRST_ID = 3  # ids below are special; a padding id would have no gradient in transformers' input embedding

STEPS, ROWS, LENGTH = 50, 2, 17
OPTIMIZER = dict(lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
WEIGHT_DECAY, CLIP = 0.1, 1.0


def make_model(config, seed):
    """Random weights lively enough that every part of the model matters to the logits."""
    config._attn_implementation = "eager"
    config.dtype = torch.float32
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(seed)
    center = 0.0 if config.model_type.startswith("gemma") else 1.0  # Gemma's norms multiply by 1 + weight
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            path = name.split(".")
            if "norm" in name or path[-2].startswith("ln_"):
                scale, shift = (0.3, center) if path[-1] == "weight" else (0.2, 0.0)
            elif path[-1] == "bias":
                scale, shift = 0.2, 0.0
            elif path[-2] in ("wte", "w", "embed_tokens", "lm_head"):
                scale, shift = 1.8 / config.hidden_size**0.5, 0.0  # logits of standard deviation about 2
            elif path[-2] == "wpe":
                scale, shift = 0.3, 0.0
            else:
                fan_in = parameter.shape[0] if config.model_type == "gpt2" else parameter.shape[1]
                gain = 1.5 if path[-2] in ("q_proj", "k_proj", "Wq", "Wk", "c_attn") else 1.0
                scale, shift = gain / fan_in**0.5, 0.0
            parameter.copy_(scale * noise + shift)
    return model


def make_ids(rows, length, generator):
    """Text-like ids: each follows from the one before by a fixed rule, or is one of a few frequent ids."""
    ids = torch.empty(rows, length, dtype=torch.int64)
    for row in range(rows):
        previous = FIRST_ID
        for position in range(length):
            if torch.rand((), generator=generator) < 0.6:
                previous = FIRST_ID + (previous * 5 + 7) % (VOCABULARY - FIRST_ID)
            else:
                previous = FIRST_ID + int(torch.randint(8, (), generator=generator)) * 11
            ids[row, position] = previous
    return ids


@torch.no_grad()
def check_cache(model, ids, logits):
    """transformers' own cached decoding, prompt in chunks and then token by token, gives the same logits."""
    for sizes in ([5, 1, 1, 9, 3, 7], [1] * ids.shape[1]):
        cache, start, parts = DynamicCache(config=model.config), 0, []
        for size in [*sizes, ids.shape[1] - sum(sizes)]:
            if size > 0:
                chunk = ids[:, start : start + size]
                parts.append(model(chunk, past_key_values=cache, use_cache=True).logits)
                start += size
        difference = (torch.cat(parts, dim=1) - logits).abs().max().item()
        assert difference < 2e-5, f"the cached logits differ by {difference}"


def train_curve(model, batches, dtype):
    """Losses before each update and gradient norms before clipping. float64 only to tell float32's own error."""
    parameters = dict(model.named_parameters())
    decayed = [name for name, parameter in parameters.items() if parameter.ndim >= 2]
    others = [name for name in parameters if name not in decayed]
    optimizer = torch.optim.AdamW(
        [
            {"params": [parameters[name] for name in decayed], "weight_decay": WEIGHT_DECAY},
            {"params": [parameters[name] for name in others], "weight_decay": 0.0},
        ],
        foreach=False,
        **OPTIMIZER,
    )
    losses, norms = [], []
    for batch in batches:
        optimizer.zero_grad()
        logits = model(batch[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        assert loss.dtype is dtype
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP).item())
        optimizer.step()
        losses.append(loss.item())
    return losses, norms, decayed


def make_curve(folder, model, seed):
    generator = torch.Generator().manual_seed(seed)
    batches = torch.stack([make_ids(ROWS, LENGTH, generator) for _ in range(STEPS)])
    save_file({"batches": batches}, folder / "curve.safetensors")
    double = double_model(model)
    with exact_float64():
        exact_losses, exact_norms, _ = train_curve(double, batches, torch.float64)
    losses, norms, decayed = train_curve(model, batches, torch.float32)
    assert losses[-1] < losses[0]
    return {
        "optimizer": {"name": "torch.optim.AdamW", **OPTIMIZER, "weight_decay": WEIGHT_DECAY},
        "schedule": "constant",
        "clip_grad_norm": CLIP,
        "decayed_parameters": decayed,
        "losses": losses,
        "grad_norms": norms,
        "losses_float64": exact_losses,
        "grad_norms_float64": exact_norms,
    }


def write_hub_form(folder, model, ids, logits):
    """The same configuration as the hub's older files spell it; transformers must read both alike."""
    config = json.loads((folder / "config.json").read_text())
    family = config["model_type"]
    rope = config.pop("rope_parameters", None)
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.43.0.dev0"
    if rope:
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    if family == "gemma":
        config["hidden_act"] = "gelu"  # means the tanh form in Gemma's own files
        del config["tie_word_embeddings"], config["rope_scaling"]  # the hub's file has neither
    config.pop("use_bidirectional_attention", None)
    if family == "gemma2":
        config["hidden_act"] = config["hidden_activation"]
        del config["layer_types"], config["rope_scaling"], config["tie_word_embeddings"]
    if family == "gpt2":
        config["n_ctx"] = config["n_positions"]
        del config["torch_dtype"], config["tie_word_embeddings"], config["n_inner"]
    (folder / "config.hub.json").write_text(json.dumps(config, indent=2) + "\n")
    again = AutoConfig.from_pretrained(folder, _configuration_file="config.hub.json")
    read = AutoModelForCausalLM.from_pretrained(
        folder, config=again, attn_implementation="eager", dtype=torch.float32
    ).eval()
    with torch.no_grad():
        assert torch.equal(read(ids, use_cache=False).logits, logits), "the hub form means something else"


def check_lively(config, logits, losses, gradients):
    """Logits are of a sensible size, and only key biases without rotation have no gradient."""
    capped = getattr(config, "final_logit_softcapping", None)
    assert 1.0 <= logits.std() <= 3.5 and 2.0 <= losses.mean() <= 12.0, (logits.std(), losses.mean())
    if capped:
        assert logits.abs().max() > 0.95 * capped
    for name, gradient in gradients.items():
        if name.endswith("Wk.bias"):
            assert gradient.abs().max() < 1e-14, name
        else:
            assert gradient.norm() > 1e-3, (name, gradient.norm())


def make_case(name, seed):
    config, length = CASES[name]
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    model = make_model(config, seed)
    model.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    assert model.dtype is torch.float32 and model.config._attn_implementation == "eager"

    ids = make_ids(2, length, torch.Generator().manual_seed(seed + 1))
    assert all(len(set(row.tolist())) < length for row in ids)
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits
    check_cache(model, ids, logits)
    losses, gradients = losses_and_gradients(model, ids)
    check_lively(model.config, logits, losses, gradients)

    stored = load_file(folder / "model.safetensors")
    tensors = {"ids": ids, "logits": logits}
    for path in stored:
        tensors[f"grad.{path}"] = gradients.pop(canonical(model, path)).float().contiguous()
    assert not gradients, f"not in model.safetensors: {list(gradients)}"
    save_file(tensors, folder / "expected.safetensors")

    expected = {
        "transformers": transformers.__version__,
        "torch": torch.__version__.split("+")[0],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "loss": losses.mean().item(),
        "row_losses": losses.mean(dim=1).tolist(),
        "tree": str(model),
    }
    if name in HUB_FORMS:
        write_hub_form(folder, model, ids, logits)
    if name in CURVES:
        expected["curve"] = make_curve(folder, model, seed + 2)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1024
    print(f"{name:18} loss {expected['loss']:.4f}  logit std {logits.std():.2f}  {size:.0f} KB")


def canonical(model, path):
    """A stored name as named_parameters() spells it: a tied parameter is listed once, under its first name."""
    wanted = model.get_parameter(path)
    return next(name for name, parameter in model.named_parameters() if parameter is wanted)


def make_trees():
    folder = HERE / "trees"
    folder.mkdir(exist_ok=True)
    counts = {}
    for name, (config, published) in TREES.items():
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
        counts[name] = sum(parameter.numel() for parameter in model.parameters())
        assert published in (None, counts[name]), (name, counts[name], published)
        (folder / f"{name}.txt").write_text(f"{model}\n")
    (folder / "counts.json").write_text(json.dumps(counts, indent=1) + "\n")
    print("trees", counts)


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    wanted = sys.argv[1:] or [*CASES, "trees"]
    for index, case in enumerate(CASES):
        if case in wanted:
            make_case(case, seed=1000 + 10 * index)
    if "trees" in wanted:
        make_trees()
