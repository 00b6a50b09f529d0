"""PyTorch on a graphics card, beside `bench/webgpu-training.ts` and `bench/webgpu-decode.ts`.

    python pytorch_gpu.py train --model smol --batch 4 --seq 256 [--dtype bfloat16] [--recompute] [--steps 20]
    python pytorch_gpu.py decode --model 1b [--dtype bfloat16] [--prompt 256] [--context 128 2048]

The models are transformers' Llama with random weights. Training is a user's loop: forward, mean next-token
cross-entropy, backward, clipping, fused AdamW. float32 runs without TF32, so that both sides compute in float32;
bfloat16 is autocast over float32 weights for training, and bfloat16 weights for decoding. Times are medians, with the
device synchronized; memory is the allocator's peak. One JSON object on standard output.
"""

import argparse
import json
import statistics
import time

import torch
import transformers

SHAPES = {
    "smol": dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
                 head_dim=64, vocab_size=49152, tie_word_embeddings=True, max_position_embeddings=8192),
    "1b": dict(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
               head_dim=64, vocab_size=128256, tie_word_embeddings=True, max_position_embeddings=8192),
}


def build(options, dtype):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SHAPES[options.model], pad_token_id=None, bos_token_id=1, eos_token_id=2)
    config._attn_implementation = "sdpa"
    with torch.device("cuda"):
        return transformers.LlamaForCausalLM(config).to(dtype)


def timed(run, count):
    seconds = []
    for _ in range(count):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def train(options):
    model = build(options, torch.float32).train()
    if options.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(0, model.config.vocab_size, (options.batch, options.seq + 1), device="cuda")
    mixed = options.dtype == "bfloat16"

    def step():
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=mixed):
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    for _ in range(3):
        step()
    torch.cuda.reset_peak_memory_stats()
    seconds = timed(step, options.steps)
    tokens = options.batch * options.seq
    return {"ms": round(1000 * seconds, 2), "tokens_per_second": round(tokens / seconds), "peak_bytes": torch.cuda.max_memory_allocated()}


@torch.inference_mode()
def decode(options):
    model = build(options, torch.bfloat16 if options.dtype == "bfloat16" else torch.float32).eval()
    prompt = torch.randint(0, model.config.vocab_size, (1, options.prompt), device="cuda")
    run = lambda: model(input_ids=prompt, use_cache=True, logits_to_keep=1)
    run()
    result = {"prefill_tokens_per_second": round(options.prompt / timed(run, 5))}
    for context in options.context:
        ids = torch.randint(0, model.config.vocab_size, (1, context), device="cuda")
        out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        token = out.logits[:, -1].argmax(-1, keepdim=True)

        def step():
            nonlocal token
            logits = model(input_ids=token, past_key_values=cache, use_cache=True).logits
            token = logits[:, -1].argmax(-1, keepdim=True)
            return token.item()

        for _ in range(3):
            step()
        result[f"decode_at_{context}"] = round(1 / timed(step, 32), 1)
    result["peak_bytes"] = torch.cuda.max_memory_allocated()
    return result


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", choices=["train", "decode"])
parser.add_argument("--model", choices=list(SHAPES), default="smol")
parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
parser.add_argument("--batch", type=int, default=4)
parser.add_argument("--seq", type=int, default=256)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--recompute", action="store_true", help="gradient checkpointing")
parser.add_argument("--prompt", type=int, default=256)
parser.add_argument("--context", type=int, nargs="*", default=[128, 2048])
options = parser.parse_args()
torch.backends.cuda.matmul.allow_tf32 = False
result = (train if options.what == "train" else decode)(options)
print(json.dumps({"card": torch.cuda.get_device_name(), "torch": torch.__version__, **vars(options), **result}))
