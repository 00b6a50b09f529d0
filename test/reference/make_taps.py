"""What stands inside the reference models: python test/reference/make_taps.py

For each case below, of the first 16 tokens of its first row: the residual stream, attention probabilities and scores, logits
before the cap, and the gradients of the mean next-token loss with respect to the stream. From transformers' own
`output_hidden_states` and `output_attentions`; scores are what its softmax is given. Written beside the case as
taps.safetensors, from the weights that make_reference.py has saved there.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
CASES = [
    *["gpt", "gpt2", "gemma", "gemma-mha", "gemma2", "llama", "llama-rope-scaled"],
    *["qwen2", "qwen2-window", "qwen3", "gemma3", "gemma3-capped", "mistral", "exaone4"],
    *["hyperclovax", "hyperclovax-prenorm"],
]
TOKENS = 16


def scores_of(model, ids):
    """Inputs of the attentions' softmax, layer by layer."""
    seen = []
    plain, functional = torch.softmax, torch.nn.functional.softmax

    def spy(function):
        def call(x, *args, **kwargs):
            if x.dim() == 4:
                seen.append(x.detach().clone())
            return function(x, *args, **kwargs)

        return call

    torch.softmax, torch.nn.functional.softmax = spy(plain), spy(functional)
    try:
        with torch.no_grad():
            model(ids)
    finally:
        torch.softmax, torch.nn.functional.softmax = plain, functional
    return seen


def gradients_of(path, ids):
    """Of the loss with respect to the stream before each layer, in float64."""
    model = AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager", dtype=torch.float64)
    out = model(ids, labels=ids, output_hidden_states=True)
    stream = out.hidden_states[:-1]
    return torch.autograd.grad(out.loss, stream), out.loss


def make(name):
    path = HERE / name
    model = AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager", dtype=torch.float32).eval()
    ids = load_file(path / "expected.safetensors")["ids"][:1, :TOKENS].long()
    with torch.no_grad():
        out = model(ids, output_hidden_states=True, output_attentions=True)
        # A model without a cap returns these logits, scaled if it scales them.
        capped = getattr(model.config, "final_logit_softcapping", None) is not None
        raw = model.get_output_embeddings()(out.hidden_states[-1]) if capped else out.logits
    gradients, loss = gradients_of(path, ids)
    tensors = {"ids": ids.int(), "raw_logits": raw.reshape(TOKENS, -1), "loss": loss.detach().float().reshape(1)}
    for i, hidden in enumerate(out.hidden_states):
        tensors["norm" if i == len(out.hidden_states) - 1 else f"stream.{i}"] = hidden[0]
    for i, gradient in enumerate(gradients):
        tensors[f"gradient.{i}"] = gradient[0].float()
    for i, (attention, scores) in enumerate(zip(out.attentions, scores_of(model, ids), strict=True)):
        tensors[f"probabilities.{i}"] = attention[0]
        tensors[f"scores.{i}"] = scores[0]
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path / "taps.safetensors")
    print(name, {key: list(value.shape) for key, value in tensors.items()})


for case in CASES:
    make(case)
