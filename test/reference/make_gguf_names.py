"""What llama.cpp's own converter calls the weights of the reference models: gguf-names.json.

Run with the packages gguf and safetensors: python make_gguf_names.py
"""

import json
from pathlib import Path

from gguf import MODEL_ARCH, get_tensor_name_map
from safetensors import safe_open

HERE = Path(__file__).parent
# By model_type of a reference model.
ARCHITECTURES = {
    "gpt2": MODEL_ARCH.GPT2,
    "gemma": MODEL_ARCH.GEMMA,
    "gemma2": MODEL_ARCH.GEMMA2,
    "gemma3_text": MODEL_ARCH.GEMMA3,
    "llama": MODEL_ARCH.LLAMA,
    "mistral": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
    "exaone4": MODEL_ARCH.EXAONE4,
}

names: dict[str, dict[str, str]] = {}
for config in sorted(HERE.glob("*/config.json")):
    model_type = json.loads(config.read_text()).get("model_type")
    weights = config.parent / "model.safetensors"
    if model_type not in ARCHITECTURES or not weights.exists():
        continue
    table = get_tensor_name_map(ARCHITECTURES[model_type], 64)
    with safe_open(weights, "numpy") as file:
        keys = list(file.keys())
    for key in keys:
        # The last layers say nothing new.
        if any(f".{layer}." in key for layer in range(1, 64)):
            continue
        name = table.get_name(key, try_suffixes=(".weight", ".bias"))
        assert name is not None, (model_type, key)
        names.setdefault(model_type, {})[key] = name

(HERE / "gguf-names.json").write_text(json.dumps(names, indent=1, sort_keys=True) + "\n")
