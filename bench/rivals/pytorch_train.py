"""PyTorch on the CPU as a rival in training: times whole steps of a transformers model when asked to.

    pip install torch==2.13.0 transformers==5.18.0
    python pytorch_train.py [--attn eager] [--optimizer foreach] [--compile] [--dtype bfloat16] [--family gemma2] ...

A step is what a user's loop does: forward, mean next-token cross-entropy, backward, AdamW, gradients freed. One JSON
object per line on standard output: first {"ready": true, ...} after one warm-up step; then for each line `step` on
standard input one step and {"seconds", "loss"}. `quit` or end of input ends it. So a benchmark can interleave rivals
on a noisy machine. `--matmul` instead prints how fast the step's own bare matrix products run, and ends.
"""

import argparse
import json
import os
import sys
import time


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=["llama", "gemma", "gemma2", "gpt2", "ctrl"], default="llama")
    parser.add_argument("--model", help="a Hugging Face directory: its shape and weights; the shape's options then do nothing")
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--intermediate", type=int, default=1536)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=9)
    parser.add_argument("--kv-heads", type=int, default=3, help="llama, gemma, gemma2")
    parser.add_argument("--head-dim", type=int, default=64, help="llama, gemma, gemma2")
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--tied", action="store_true", help="llama and gpt2; the other families are always tied")
    parser.add_argument("--window", type=int, default=4096, help="gemma2's sliding window")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=256, help="positions that predict; each row has one token more")
    parser.add_argument("--attn", choices=["sdpa", "eager"], default="sdpa", help="sdpa drops gemma2's attention cap")
    parser.add_argument("--optimizer", choices=["fused", "foreach", "for-loop", "default"], default="fused")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="bfloat16: autocast")
    parser.add_argument("--compile", action="store_true", help="torch.compile; needs a C++ compiler")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--matmul", action="store_true", help="time the bare matrix products alone")
    return parser.parse_args()


def make_config(options):
    import transformers

    rotary = dict(
        hidden_size=options.hidden,
        intermediate_size=options.intermediate,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.kv_heads,
        head_dim=options.head_dim,
        max_position_embeddings=options.seq,
    )
    learned = dict(n_embd=options.hidden, n_layer=options.layers, n_head=options.heads, n_positions=options.seq)
    common = dict(vocab_size=options.vocab, use_cache=False, pad_token_id=None, bos_token_id=1, eos_token_id=2)
    if options.family == "llama":
        return transformers.LlamaConfig(**common, **rotary, tie_word_embeddings=options.tied)
    if options.family == "gemma":
        return transformers.GemmaConfig(**common, **rotary)
    if options.family == "gemma2":
        scale = dict(query_pre_attn_scalar=options.head_dim, sliding_window=options.window)
        return transformers.Gemma2Config(**common, **rotary, **scale)
    if options.family == "gpt2":
        inner = dict(n_inner=options.intermediate, tie_word_embeddings=options.tied)
        return transformers.GPT2Config(**common, **learned, **inner)
    return transformers.CTRLConfig(**common, **learned, dff=options.intermediate)


def linear_shapes(model):
    """(inputs, outputs) of every linear layer, the head included."""
    shapes = []
    for module in model.modules():
        kind = type(module).__name__
        if kind == "Linear":
            shapes.append((module.in_features, module.out_features))
        elif kind == "Conv1D":
            shapes.append((module.nx, module.nf))
    return shapes


def time_products(torch, shapes, tokens, dtype, rounds=6):
    """GFLOP/s of each distinct layer's three products: forward, input's gradient, weight's gradient.

    The best of several rounds over all of them, so that a busy moment of the machine does not fall on one alone.
    """
    cases = []
    for inputs, outputs in sorted(set(shapes)):
        x, weight = torch.randn(tokens, inputs, dtype=dtype), torch.randn(outputs, inputs, dtype=dtype)
        dy = torch.randn(tokens, outputs, dtype=dtype)
        cases += [
            ((inputs, outputs), "forward", x, weight.T),
            ((inputs, outputs), "input_gradient", dy, weight),
            ((inputs, outputs), "weight_gradient", dy.T, x),
        ]
    best = [float("inf")] * len(cases)
    for _ in range(rounds):
        for index, (_, _, left, right) in enumerate(cases):
            for _ in range(4):
                start = time.perf_counter()
                left @ right
                best[index] = min(best[index], time.perf_counter() - start)
    report, total_flops, total_seconds = {}, 0, 0.0
    for (shape, name, _, _), seconds in zip(cases, best, strict=True):
        flops, count = 2 * tokens * shape[0] * shape[1], shapes.count(shape)
        row = report.setdefault(shape, {"inputs": shape[0], "outputs": shape[1], "layers": count})
        row[name] = round(flops / seconds / 1e9, 1)
        total_flops += count * flops
        total_seconds += count * seconds
    summary = dict(gflops=round(total_flops / total_seconds / 1e9, 1), seconds_per_step=total_seconds)
    return {**summary, "shapes": list(report.values())}


def say(**fields):
    print(json.dumps(fields), flush=True)


def main():
    options = read_options()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # read when torch is imported
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    dtype = getattr(torch, options.dtype)
    settings = dict(attn_implementation=options.attn, dtype=torch.float32)
    if options.model:
        model = transformers.AutoModelForCausalLM.from_pretrained(options.model, **settings)
    else:
        model = transformers.AutoModelForCausalLM.from_config(make_config(options), **settings)
    # Without dropout, as the others; eval() changes nothing else in these families.
    model.eval()
    shapes = linear_shapes(model)
    tokens = options.batch * options.seq
    if options.matmul:
        with torch.no_grad():
            say(tokens=tokens, dtype=options.dtype, threads=options.threads, **time_products(torch, shapes, tokens, dtype))
        return

    forward = torch.compile(model) if options.compile else model
    choice = {"fused": dict(fused=True), "foreach": dict(foreach=True), "for-loop": dict(foreach=False), "default": {}}
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, **choice[options.optimizer])
    vocab = model.config.vocab_size
    size = options.batch * (options.seq + 1)
    # As every contender in bench/training: see cases.ts.
    ids = [[(i * 7919 + step * 104729 + 11) % vocab for i in range(size)] for step in range(8)]
    batches = torch.tensor(ids).view(8, options.batch, options.seq + 1)
    count = 0

    def step():
        nonlocal count
        batch = batches[count % len(batches)]
        count += 1
        with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bfloat16"):
            logits = forward(input_ids=batch[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    start = time.perf_counter()
    first_loss = step()
    say(
        ready=True,
        about=f"torch {torch.__version__}, transformers {transformers.__version__}",
        loss=first_loss,
        warmup_seconds=time.perf_counter() - start,
        torch=torch.__version__,
        transformers=transformers.__version__,
        options=vars(options),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        tokens=tokens,
        # Multiplications and additions of the linear layers alone, forward and backward.
        linear_flops=6 * tokens * sum(inputs * outputs for inputs, outputs in shapes),
    )
    for line in sys.stdin:
        command = line.strip()
        if command == "quit":
            break
        if command != "step":
            say(error=f"unknown command {command!r}: send step or quit")
            continue
        start = time.perf_counter()
        loss = step()
        say(seconds=time.perf_counter() - start, loss=loss)


if __name__ == "__main__":
    main()
