"""Seeded weights that hide nothing: no zero biases, no norm weights at 1, no tables near zero.

A freshly initialised network would let many faults pass (a forgotten bias, a norm weight taken from the wrong
layer, a scale where a shift belongs), so every tensor is drawn here by a rule that depends on its name and shape.
Each tensor has its own generator, seeded from its full name: adding one tensor changes no other.
"""

import zlib

import torch


def generator(key: str) -> torch.Generator:
    """A CPU generator whose seed is the CRC-32 of `key`."""
    return torch.Generator("cpu").manual_seed(zlib.crc32(key.encode()))


def randn(key: str, *shape: int) -> torch.Tensor:
    """Normal F32 numbers of `shape` that depend on `key` alone."""
    return torch.randn(shape, generator=generator(key), dtype=torch.float32)


def _gain(name: str) -> float:
    """Factor on the usual 1/sqrt(fan in), for the few matrices where 1 would saturate something."""
    if name.endswith(("SelfAttention.q.weight", "SelfAttention.k.weight")):
        return 0.6  # UMT5 does not scale its scores: keep the softmax away from one-hot
    if name.endswith("decoder.conv_out.weight"):
        return 0.25  # most of the picture inside [-1, 1], so that the clamp does not hide errors
    return 1.0


def weight(key: str, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The seeded value of tensor `name` (state-dict name) with `shape`; `key` says which model."""
    noise = randn(f"{key}/{name}", *shape)
    if "relative_attention_bias" in name:
        return noise * 0.8
    if "scale_shift_table" in name:
        return noise * 0.5
    if "gamma" in name or ("norm" in name and name.endswith("weight")):
        return 1.0 + 0.3 * noise
    if name.endswith("bias"):
        return 0.2 * noise
    if name in ("shared.weight", "encoder.embed_tokens.weight"):
        return noise
    fan_in = 1
    for extent in shape[1:]:
        fan_in *= extent
    return noise * (_gain(name) / fan_in**0.5)


def fill(key: str, model: torch.nn.Module) -> torch.nn.Module:
    """Overwrites every parameter of `model` in place by its seeded value; returns it in eval mode."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weight(key, name, tuple(parameter.shape)))
    return model.eval().requires_grad_(False)


def error(got: torch.Tensor, want: torch.Tensor) -> float:
    """Relative error of the whole tensor, ||got - want|| / ||want||, in F64."""
    return float((got.double() - want.double()).norm() / want.double().norm())
