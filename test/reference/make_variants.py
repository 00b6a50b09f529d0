"""Writes variants.json and variants.safetensors: directories as people have them, made of the reference cases by changing
configurations and tensors, with the logits that transformers gives for them (float32, eager), of a whole sequence without
a cache; where transformers refuses a directory, there are none. For TRAINED, "grad.<number>.<weight>" are gradients of the
mean next-token loss.

    python make_variants.py
"""

import json
import math
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, __version__

HERE = pathlib.Path(__file__).resolve().parent
IDS = [5, 17, 3, 95, 42, 7, 7, 30, 12, 5, 61, 44, 8, 9, 23, 90, 4, 5, 33, 71]
NONE = {"rope_parameters": None, "rope_theta": None, "rope_scaling": None}  # None: the field is taken away

LINEAR = {"rope_type": "linear", "factor": 4.0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}


def rope(**fields):
    return {**NONE, **fields}


def renamed(prefix="", inner=None):
    return [{"op": "rename", "prefix": prefix, "inner": inner}]


OWN_HEAD = {"llama": ("model.embed_tokens.weight", "lm_head.weight"), "gpt2": ("transformer.wte.weight", "lm_head.weight")}
for name in ("gemma", "gemma2"):
    OWN_HEAD[name] = OWN_HEAD["llama"]
OWN_HEAD["gpt"] = ("transformer.w.weight", "lm_head.weight")


def own_head(family, scale=-0.5, roll=3):
    source, to = OWN_HEAD[family]
    return [{"op": "copy", "from": source, "to": to, "scale": scale, "roll": roll}]


def under_head(family):
    source, to = OWN_HEAD[family]
    return [{"op": "move", "from": source, "to": to}]


# name -> (base, fields of config.json, changes of tensors)
CASES = {
    **{f"a head of its own, {family}": (family, {}, own_head(family)) for family in OWN_HEAD},
    **{f"the same head twice, {family}": (family, {}, own_head(family, 1, 0)) for family in ("llama", "gpt2")},
    "a head of its own, GPT-2 without prefix": (
        "gpt2",
        {},
        own_head("gpt2") + [{"op": "strip", "prefix": "transformer."}],
    ),
    **{f"saved under the head, {family}": (family, {}, under_head(family)) for family in OWN_HEAD},
    "weights without a place": (
        "llama",
        {},
        [{"op": "zeros", "to": "model.layers.0.self_attn.q_norm.weight", "shape": [8]}],
    ),
    "biases that the config denies": (
        "llama-bias",
        {"attention_bias": False},
        [],
    ),
    "buffers": (
        "llama",
        {},
        [{"op": "zeros", "to": "model.layers.0.self_attn.rotary_emb.inv_freq", "shape": [4]}],
    ),
    "buffers of GPT-2": (
        "gpt2",
        {},
        [{"op": "zeros", "to": f"transformer.h.0.attn.{n}", "shape": [1]} for n in ("bias", "masked_bias")],
    ),
    # RoPE: places and pairs
    "theta in rope_theta": ("llama", rope(rope_theta=500.0), []),
    "theta beside rope_parameters": ("llama", rope(rope_theta=500.0, rope_parameters={"rope_type": "default"}), []),
    "theta in both": (
        "llama",
        rope(rope_theta=500.0, rope_parameters={"rope_type": "default", "rope_theta": 70.0}),
        [],
    ),
    "no theta at all": ("llama", rope(), []),
    "no theta beside a scaling": ("llama", rope(rope_scaling=LINEAR), []),
    "rope_scaling beside rope_parameters": (
        "llama",
        {"rope_scaling": LINEAR, "rope_theta": None, "rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}},
        [],
    ),
    "rope_scaling beside rope_parameters and rope_theta": (
        "llama",
        {"rope_scaling": LINEAR, "rope_theta": 70.0, "rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}},
        [],
    ),
    "an empty rope_scaling": (
        "llama",
        {"rope_scaling": {}, "rope_parameters": {"rope_theta": 500.0, **LINEAR}},
        [],
    ),
    "rope_scaling with a theta": ("llama", rope(rope_theta=70.0, rope_scaling={**LINEAR, "rope_theta": 500.0}), []),
    "the old word type": ("llama", rope(rope_theta=500.0, rope_scaling={"type": "linear", "factor": 2.0}), []),
    "both words": (
        "llama",
        rope(rope_theta=500.0, rope_scaling={"type": "dynamic", "rope_type": "linear", "factor": 2.0}),
        [],
    ),
    "linear by 1": ("llama", rope(rope_theta=500.0, rope_scaling={"type": "linear", "factor": 1.0}), []),
    "linear below 1": ("llama", rope(rope_theta=500.0, rope_scaling={"type": "linear", "factor": 0.5}), []),
    "linear, not a power of two": ("llama", rope(rope_theta=500.0, rope_scaling={"type": "linear", "factor": 3.7}), []),
    "linear, gemma": ("gemma", {"rope_parameters": {**LINEAR, "rope_theta": 500.0}}, []),
    "linear, gemma2": ("gemma2", {"rope_parameters": {**LINEAR, "rope_theta": 500.0}}, []),
    "llama3 without its length": ("llama", rope(rope_theta=500.0, rope_scaling=LLAMA3), []),
    "llama3 with the length beside it": (
        "llama",
        rope(rope_theta=500.0, rope_scaling=LLAMA3, original_max_position_embeddings=16),
        [],
    ),
    "llama3 with two lengths": (
        "llama",
        rope(
            rope_theta=500.0,
            rope_scaling={**LLAMA3, "original_max_position_embeddings": 32},
            original_max_position_embeddings=16,
        ),
        [],
    ),
    "llama3, gemma2": ("gemma2", rope(rope_theta=500.0, rope_scaling={**LLAMA3, "original_max_position_embeddings": 16}), []),
    "yarn": ("llama", rope(rope_theta=500.0, rope_scaling=YARN), []),
    "yarn, gemma": ("gemma", rope(rope_theta=500.0, rope_scaling=YARN), []),
    "yarn, gemma2": ("gemma2", rope(rope_theta=500.0, rope_scaling=YARN), []),
    "yarn with a factor of attention": (
        "llama",
        rope(rope_theta=500.0, rope_scaling={**YARN, "attention_factor": 0.7, "beta_fast": 4.0, "beta_slow": 0.5}),
        [],
    ),
    "yarn with mscale": (
        "llama",
        rope(rope_theta=500.0, rope_scaling={**YARN, "mscale": 1.5, "mscale_all_dim": 0.7}),
        [],
    ),
    "yarn without rounding": ("llama", rope(rope_theta=500.0, rope_scaling={**YARN, "truncate": False}), []),
    "yarn without a length": (
        "llama",
        rope(rope_theta=500.0, rope_scaling={"rope_type": "yarn", "factor": 2.0}),
        [],
    ),
    "dynamic": ("llama", rope(rope_theta=500.0, rope_scaling={"type": "dynamic", "factor": 2.0}), []),
    "dynamic, up to the last position": (
        "llama",
        rope(rope_theta=500.0, rope_scaling=DYNAMIC, max_position_embeddings=len(IDS)),
        [],
    ),
    "dynamic with a length": (
        "llama",
        rope(rope_theta=500.0, rope_scaling={**DYNAMIC, "original_max_position_embeddings": 8}),
        [],
    ),
    "dynamic by 1, gemma": (
        "gemma",
        rope(rope_theta=500.0, rope_scaling={**DYNAMIC, "factor": 1.0}, max_position_embeddings=len(IDS)),
        [],
    ),
    "dynamic, gemma2": (
        "gemma2",
        {"rope_parameters": {**DYNAMIC, "rope_theta": 500.0}, "max_position_embeddings": len(IDS)},
        [],
    ),
    # Wrappers
    "module.": ("llama", {}, renamed("module.")),
    "_orig_mod.": ("llama", {}, renamed("_orig_mod.")),
    "base_model.model.": ("llama", {}, renamed("base_model.model.")),
    "module._orig_mod.": ("gpt2", {}, renamed("module._orig_mod.")),
    "compiled layers": ("gemma2", {}, renamed(inner="_orig_mod")),
    # Fields that classes have defaults for
    "no rms_norm_eps": ("llama", {"rms_norm_eps": None}, []),
    "no rms_norm_eps, no kv heads": ("llama", {"rms_norm_eps": None, "head_dim": None, "attention_bias": None}, []),
    "no caps": (
        "gemma2-nocap",
        {"attn_logit_softcapping": None, "final_logit_softcapping": None, "query_pre_attn_scalar": None},
        [],
    ),
    "no layer_norm_epsilon": ("gpt2", {"layer_norm_epsilon": None, "activation_function": None, "n_inner": None}, []),
    "no epsilon, CTRL": ("gpt-eps", {"layer_norm_epsilon": None}, []),
    "GPT-2 in other words": (
        "gpt2",
        {
            **{"n_embd": None, "n_layer": None, "n_head": None, "n_positions": None},
            **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 48},
        },
        [],
    ),
    "pad −1": ("llama", {"pad_token_id": -1}, []),
    "bos and eos −1": ("llama", {"bos_token_id": -1, "eos_token_id": [-1, 2]}, []),
    "pad −1, gemma": ("gemma", {"pad_token_id": -1}, []),
    "Infinity": ("llama", {"time_step_limit": [0.0, math.inf], "least": -math.inf}, []),
    "NaN": ("gpt2", {"unused": math.nan}, []),
}


TRAINED = (
    "a head of its own, llama",
    "a head of its own, gpt2",
    "linear, not a power of two",
    "yarn with a factor of attention",
    "dynamic, up to the last position",
)
WATCHED = ("layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj", "h.0.attn.c_attn", "embed_tokens", "wte", "lm_head")


def gradients(model):
    model.zero_grad()
    ids = torch.tensor([IDS])
    model(ids, labels=ids).loss.backward()
    watched = [(name, p.grad) for name, p in model.named_parameters() if name.removesuffix(".weight").endswith(WATCHED)]
    return {name: grad.contiguous() for name, grad in watched}


def through_cache(model):
    """Logits of pieces given one after another."""
    cache, pieces = None, []
    for start, end in ((0, 5), (5, 6), (6, 7), (7, 12), (12, len(IDS))):
        result = model(torch.tensor([IDS[start:end]]), past_key_values=cache, use_cache=True)
        cache = result.past_key_values
        pieces.append(result.logits[0])
    return torch.cat(pieces)


def change(tensors, changes):
    for each in changes:
        op = each["op"]
        if op == "copy":
            tensors[each["to"]] = torch.roll(tensors[each["from"]] * each["scale"], each["roll"], 0).contiguous()
        elif op == "move":
            tensors[each["to"]] = tensors.pop(each["from"])
        elif op == "zeros":
            tensors[each["to"]] = torch.zeros(each["shape"])
        elif op == "strip":
            tensors = {name.removeprefix(each["prefix"]): value for name, value in tensors.items()}
        elif op == "rename":
            inner = each["inner"]
            tensors = {
                each["prefix"] + (name.replace("layers.", f"layers.{inner}.") if inner else name): value
                for name, value in tensors.items()
            }
    return tensors


def main():
    cases, logits = [], {}
    for number, (name, (base, fields, changes)) in enumerate(CASES.items()):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            config = {**json.loads((HERE / base / "config.json").read_text()), **fields}
            config = {field: value for field, value in config.items() if field not in fields or value is not None}
            (path / "config.json").write_text(json.dumps(config))
            loaded = load_file(HERE / base / "model.safetensors")
            # What transformers does not know of, it is given without.
            wrapped = any(each["op"] == "rename" for each in changes)
            tensors = loaded if wrapped else change(loaded, changes)
            save_file(tensors, path / "model.safetensors", {"format": "pt"})
            case = {"name": name, "base": base, "config": config, "changes": changes}
            try:
                model = AutoModelForCausalLM.from_pretrained(
                    folder, attn_implementation="eager", dtype=torch.float32
                ).eval()
                with torch.no_grad():
                    logits[str(number)] = model(torch.tensor([IDS])).logits[0].contiguous()
                    if "dynamic" in name:
                        torch.testing.assert_close(through_cache(model), logits[str(number)], atol=1e-5, rtol=1e-5)
                if name in TRAINED:
                    logits.update({f"grad.{number}.{weight}": grad for weight, grad in gradients(model).items()})
            except Exception as error:
                case["refused"] = f"{type(error).__name__}: {error}"[:200]
                print(name, case["refused"])
            cases.append(case)
    text = json.dumps({"transformers": __version__, "ids": IDS, "cases": cases})
    text = text.replace("-Infinity", '"-Infinity"').replace(" Infinity", ' "Infinity"').replace("NaN}", '"NaN"}')
    (HERE / "variants.json").write_text(text + "\n")
    save_file(logits, HERE / "variants.safetensors")
    print(len(cases), "cases")


main()
