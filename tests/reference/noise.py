"""Noise goldens: the bits that `torch.randn` gives with `torch.Generator("cpu").manual_seed(seed)`.

diffusers' users get their starting latents this way. Below 16 numbers torch draws one by one (Box-Muller in F64, pairs cached); from 16 on it fills the
whole buffer with uniforms, transforms blocks of 16 and redraws the last 16 when the length is no multiple of 16.
The transform has two forms in torch: one with AVX2 (polynomial log, sine and cosine) and a plain one that calls the C library; they differ in
the last bits. `noise.safetensors` has both: `seed.shape` from this machine (AVX2 or better: what x86 users get) and `seed.shape.plain` from a child process with
ATEN_CPU_CAPABILITY=default, stored only where the bits differ.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

import store

SEEDS = [0, 1, 42, 1234567890, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**40 + 42, 2**63 - 1, 2**64 - 1]
SHAPES = [(1,), (2,), (7,), (15,), (16,), (17,), (31,), (1000,), (1, 16, 3, 8, 8)]


def draw() -> dict[str, torch.Tensor]:
    """All (seed, shape) pairs: every shape for two seeds, the 17-number shape and a small one for all."""
    named = {}
    for seed in SEEDS:
        for shape in SHAPES:
            if seed in (0, 42) or shape in ((7,), (17,)):
                key = f"{seed}." + "x".join(map(str, shape))
                named[key] = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))
    return named


def make(goldens: Path) -> None:
    """Writes `noise.safetensors` and `noise.json`."""
    named = draw()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "plain.safetensors"
        environment = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
        subprocess.run([sys.executable, __file__, str(path)], check=True, env=environment)
        plain = load_file(path)
    differing = {f"{key}.plain": plain[key] for key in named if not torch.equal(plain[key], named[key])}
    store.tensors(goldens / "noise.safetensors", named | differing)
    capability = torch.backends.cpu.get_cpu_capability()
    assert capability.startswith("AVX"), f"make the goldens on an x86 machine with AVX2, not {capability}"
    store.scalars(goldens / "noise.json", dict(torch=torch.__version__.split("+")[0], differing=sorted(differing)))


if __name__ == "__main__":
    store.tensors(Path(sys.argv[1]), draw())
