"""A transformers model evaluated in float64 throughout, with the float32 constants of the real model.

`model.double()` is not enough: norms cast to float32 inside, attention's softmax asks for float32, and the RoPE
tables are built in float32. `exact_float64` keeps float64 tensors in float64 and proves it: any operation that takes
float64 and gives float32 raises. The RoPE cosines and sines stay the float32 values of the real model, upcast, as is
the scale of the embedding.
"""

import copy
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.models.ctrl import modeling_ctrl


class StayFloat64(TorchFunctionMode):
    """Ignores every request to turn a float64 tensor into float32."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if args and isinstance(args[0], torch.Tensor) and args[0].dtype is torch.float64:
            if function is torch.Tensor.float:
                return args[0]
            args = tuple(torch.float64 if value is torch.float32 else value for value in args)
            if kwargs.get("dtype") is torch.float32:
                kwargs["dtype"] = torch.float64
        return function(*args, **kwargs)


class RefuseFloat32(TorchDispatchMode):
    """Raises when an operation takes a float64 tensor and gives a float32 one; counts the float64 results."""

    float64_results = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {leaf.dtype for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        made = {leaf.dtype for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)}
        if torch.float64 in given and torch.float32 in made:
            raise AssertionError(f"{function} went from float64 to float32")
        self.float64_results += torch.float64 in made
        return result


@contextmanager
def exact_float64():
    # CTRL multiplies by a NumPy float64 scalar; on float32 tensors that scalar is rounded to float32.
    rounded = SimpleNamespace(sqrt=lambda value: float(np.float32(np.sqrt(value))))
    guard = RefuseFloat32()
    with mock.patch.object(modeling_ctrl, "np", rounded), guard, StayFloat64():
        yield
    assert guard.float64_results > 0


def double_model(model):
    """A float64 copy; the RoPE frequencies stay float32 so that angles, cosines and sines are the real model's."""
    double = copy.deepcopy(model).double()
    for (path, module), original in zip(double.named_modules(), model.modules(), strict=True):
        for name, buffer in original.named_buffers(recurse=False):
            # Gemma 3 has a table for each kind of layer.
            if name.endswith("inv_freq"):
                assert path.endswith("rotary_emb")
                setattr(module, name, buffer.clone())
    return double


def token_losses(model, ids):
    """Next-token negative log-likelihoods [rows, T - 1] in the model's dtype, without a cache."""
    logits = model(ids, use_cache=False).logits
    log_probabilities = F.log_softmax(logits[:, :-1], dim=-1)
    return -log_probabilities.gather(-1, ids[:, 1:, None]).squeeze(-1)


def losses_and_gradients(model, ids):
    """float64: losses per token, and each distinct parameter's gradient of their mean, by name."""
    double = double_model(model)
    with exact_float64():
        losses = token_losses(double, ids)
        losses.mean().backward()
    assert losses.dtype is torch.float64
    gradients = {name: parameter.grad for name, parameter in double.named_parameters()}
    check_by_finite_differences(double, ids, gradients)
    return losses.detach(), gradients


def check_by_finite_differences(double, ids, gradients, tolerance=1e-6):
    """Every parameter, along its own gradient plus a random direction, by a fourth-order central difference."""
    generator = torch.Generator().manual_seed(1)
    total = torch.sqrt(sum(gradient.square().sum() for gradient in gradients.values()))

    @torch.no_grad()
    def loss_at(parameter, base, direction, step):
        parameter.copy_(base + step * direction)
        with exact_float64():
            loss = token_losses(double, ids).mean().item()
        parameter.copy_(base)
        return loss

    for name, parameter in double.named_parameters():
        gradient, base = gradients[name], parameter.detach().clone()
        noise = torch.randn(base.shape, generator=generator, dtype=torch.float64)
        direction = noise / noise.norm() + gradient / gradient.norm().clamp_min(1e-12)
        expected = (gradient * direction).sum().item()
        errors = []
        # Two step sizes: a ReLU's kink can lie inside the larger one, rounding weighs more on the smaller one.
        for step in (1e-4, 1e-5):
            near, far = (
                loss_at(parameter, base, direction, k * step) - loss_at(parameter, base, direction, -k * step)
                for k in (1, 2)
            )
            errors.append(abs((8 * near - far) / (12 * step) - expected))
        assert min(errors) <= tolerance * max(abs(expected), 1e-3 * total.item()), (name, errors, expected)
