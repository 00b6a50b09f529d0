"""The small models whose exact behavior is recorded, and the real sizes whose module trees are printed.

Each small configuration is chosen so that a plausible mistake shows: head_dim is not hidden / heads, windows are
shorter than the text, soft-caps are low enough to bite, query scales differ from head_dim ** -0.5.
"""

from transformers import (
    CTRLConfig,
    Exaone4Config,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    HyperCLOVAXConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

VOCABULARY = 96
SMALL = dict(vocab_size=VOCABULARY, initializer_range=0.02)


def ctrl(**changes):
    size = dict(n_positions=48, n_embd=32, dff=64, n_layer=2, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0)
    return CTRLConfig(**{**SMALL, **size, "eos_token_id": 2, **changes})


def gpt2(**changes):
    size = dict(n_positions=48, n_embd=32, n_layer=2, n_head=4, bos_token_id=2, eos_token_id=2)
    dropout = dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    return GPT2Config(**{**SMALL, **size, **dropout, **changes})


def rope(theta=10000.0, **scaling):
    return {"rope_theta": theta, "rope_type": "default", **scaling}


def gemma(**changes):
    size = dict(hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, head_dim=16)
    rest = dict(num_key_value_heads=1, max_position_embeddings=64, rope_parameters=rope())
    return GemmaConfig(**{**SMALL, **size, **rest, "eos_token_id": [1, 7], **changes})


def gemma2(**changes):
    size = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, head_dim=12)
    rest = dict(num_key_value_heads=2, max_position_embeddings=64, rope_parameters=rope(), sliding_window=8)
    caps = dict(attn_logit_softcapping=2.0, final_logit_softcapping=3.0, query_pre_attn_scalar=10)
    return Gemma2Config(**{**SMALL, **size, **rest, **caps, "eos_token_id": [1, 7], **changes})


def llama(**changes):
    size = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    rest = dict(num_key_value_heads=2, max_position_embeddings=64, rope_parameters=rope(), rms_norm_eps=1e-5)
    return LlamaConfig(**{**SMALL, **size, **rest, "tie_word_embeddings": True, **changes})


def rotary(config, **changes):
    """The sizes of the rotary families below: four heads that share two key heads, windows shorter than the text."""
    size = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    rest = dict(num_key_value_heads=2, max_position_embeddings=64, rope_parameters=rope(), rms_norm_eps=1e-5)
    ids = dict(bos_token_id=1, eos_token_id=2)
    return config(**{**SMALL, **size, **rest, **ids, "tie_word_embeddings": True, **changes})


def gemma3(**changes):
    ropes = dict(full_attention=rope(1000.0), sliding_attention=rope(100.0))
    windows = dict(num_hidden_layers=3, sliding_window=7, head_dim=12, query_pre_attn_scalar=10)
    types = ["sliding_attention", "full_attention", "sliding_attention"]
    own = dict(rope_parameters=ropes, layer_types=types, pad_token_id=0)
    return rotary(Gemma3TextConfig, **{**windows, **own, **changes})


def exaone4(**changes):
    types = ["sliding_attention", "full_attention", "sliding_attention"]
    return rotary(
        Exaone4Config,
        **{"num_hidden_layers": 3, "sliding_window": 6, "layer_types": types, "head_dim": 12, **changes},
    )


def hyperclovax(**changes):
    multipliers = dict(embedding_multiplier=3.0, attention_multiplier=0.45, residual_multiplier=0.3)
    return rotary(HyperCLOVAXConfig, **{**multipliers, "logits_scaling": 0.7, "head_dim": 12, **changes})


LLAMA3_SCALING = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16
)

# name -> (configuration, tokens per row)
CASES = {
    "gpt": (ctrl(n_layer=3), 28),
    "gpt-eps": (ctrl(layer_norm_epsilon=1e-3, resid_pdrop=0.1, embd_pdrop=0.1), 28),
    "gpt2": (gpt2(), 28),
    "gpt2-untied": (gpt2(tie_word_embeddings=False, n_inner=80, layer_norm_epsilon=1e-4, resid_pdrop=0.1), 28),
    "gemma": (gemma(), 32),
    "gemma-mha": (gemma(hidden_size=32, head_dim=12, num_key_value_heads=4, rms_norm_eps=1e-3), 32),
    "gemma2": (gemma2(), 32),
    "gemma2-nocap": (
        gemma2(
            num_hidden_layers=2, attn_logit_softcapping=None, final_logit_softcapping=None, query_pre_attn_scalar=20
        ),
        32,
    ),
    "llama": (llama(eos_token_id=[2, 5]), 32),
    "llama-untied": (llama(rope_parameters=rope(500000.0), head_dim=12, tie_word_embeddings=False), 32),
    "llama-rope-scaled": (llama(rope_parameters=rope(500.0, **LLAMA3_SCALING)), 40),
    "llama-bias": (llama(attention_bias=True, mlp_bias=True, rms_norm_eps=1e-4), 32),
    "llama-mqa": (llama(num_key_value_heads=1), 32),
    "qwen2": (rotary(Qwen2Config), 32),
    "qwen2-window": (
        rotary(Qwen2Config, num_hidden_layers=3, use_sliding_window=True, sliding_window=6, max_window_layers=1),
        32,
    ),
    "qwen2-untied": (rotary(Qwen2Config, num_key_value_heads=1, tie_word_embeddings=False, rope_parameters=rope(1e6)), 32),
    "qwen3": (rotary(Qwen3Config, head_dim=12), 32),
    "qwen3-bias": (rotary(Qwen3Config, head_dim=6, attention_bias=True, num_key_value_heads=1), 32),
    "qwen3-window": (
        rotary(
            Qwen3Config,
            **dict(head_dim=12, num_hidden_layers=3, tie_word_embeddings=False, rms_norm_eps=1e-3),
            **dict(use_sliding_window=True, sliding_window=5, max_window_layers=2),
        ),
        32,
    ),
    "gemma3": (gemma3(), 32),
    "gemma3-scaled": (
        gemma3(
            rope_parameters=dict(
                full_attention=rope(1000.0, rope_type="linear", factor=8.0), sliding_attention=rope(100.0)
            ),
            num_key_value_heads=1,
        ),
        32,
    ),
    "gemma3-capped": (gemma3(final_logit_softcapping=3.0, attention_bias=True), 32),
    "mistral": (rotary(MistralConfig, sliding_window=7), 32),
    "mistral-global": (
        rotary(MistralConfig, sliding_window=None, head_dim=12, tie_word_embeddings=False, rope_parameters=rope(1e6)),
        32,
    ),
    "mistral-mqa": (rotary(MistralConfig, sliding_window=3, num_key_value_heads=1, head_dim=10), 32),
    "exaone4": (exaone4(), 32),
    "exaone4-global": (
        exaone4(
            sliding_window=None,
            layer_types=["full_attention"] * 3,
            rope_parameters=rope(500.0, **LLAMA3_SCALING),
        ),
        40,
    ),
    "exaone4-untied": (exaone4(num_key_value_heads=1, tie_word_embeddings=False, head_dim=8), 32),
    "hyperclovax": (hyperclovax(), 32),
    "hyperclovax-prenorm": (
        hyperclovax(use_post_norm=False, attention_bias=True, mlp_bias=True, residual_multiplier=0.4, num_key_value_heads=1),
        32,
    ),
    "hyperclovax-untied": (
        hyperclovax(tie_word_embeddings=False, logits_scaling=1.4, attention_multiplier=None, embedding_multiplier=0.4),
        32,
    ),
}

# The cases that also get a training curve.
CURVES = [
    *["gpt", "gpt2", "gemma", "gemma2", "llama"],
    *["qwen2", "qwen3", "gemma3", "mistral", "exaone4", "hyperclovax"],
]

# The cases that also get their configuration as the hub's older files spell it.
HUB_FORMS = ["gpt2", "gemma", "gemma2", "llama", "llama-untied", "llama-rope-scaled"]

LLAMA32_SCALING = {**LLAMA3_SCALING, "factor": 32.0, "original_max_position_embeddings": 8192}
LLAMA3_IDS = dict(vocab_size=128256, bos_token_id=128000, eos_token_id=128001, rms_norm_eps=1e-5)

# name -> (configuration, published number of distinct parameters; None where nobody published one)
TREES = {
    "gpt": (CTRLConfig(vocab_size=37000, n_positions=512, n_embd=512, dff=2048, n_layer=6, n_head=8), None),
    "gpt2": (GPT2Config(), 124_439_808),
    "gemma-2b": (
        GemmaConfig(
            hidden_size=2048,
            intermediate_size=16384,
            num_hidden_layers=18,
            num_attention_heads=8,
            num_key_value_heads=1,
            head_dim=256,
            vocab_size=256000,
        ),
        2_506_172_416,
    ),
    "gemma-2-2b": (
        Gemma2Config(
            hidden_size=2304,
            intermediate_size=9216,
            num_hidden_layers=26,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=256,
            vocab_size=256000,
            sliding_window=4096,
            query_pre_attn_scalar=256,
        ),
        2_614_341_888,
    ),
    "llama-3-8b": (
        LlamaConfig(
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            max_position_embeddings=8192,
            rope_parameters=rope(500000.0),
            **LLAMA3_IDS,
        ),
        8_030_261_248,
    ),
    "llama-3.2-1b": (
        LlamaConfig(
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=16,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=64,
            tie_word_embeddings=True,
            max_position_embeddings=131072,
            rope_parameters=rope(500000.0, **LLAMA32_SCALING),
            **LLAMA3_IDS,
        ),
        1_235_814_400,
    ),
}
