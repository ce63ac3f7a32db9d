"""RoPE goldens: the tables diffusers rotates with, as [S, head_dim / 2] cosines and sines.

`rope.safetensors` has `hD.TxHxW.cos` and `.sin` for head dims 12, 64 and 128: a ragged grid, and for 128 long single axes, where F32 angles
(instead of F64) would show.
"""

from pathlib import Path

import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

import store

GRIDS = [(3, 5, 7), (33, 1, 1), (1, 48, 1), (1, 1, 72)]


def make(goldens: Path) -> None:
    """Writes `rope.safetensors`."""
    named = {}
    for dim in (12, 64, 128):
        table = WanRotaryPosEmbed(dim, (1, 2, 2), 1024)
        for grid in GRIDS if dim == 128 else GRIDS[:1]:
            cos, sin = table(torch.empty(1, 1, grid[0], grid[1] * 2, grid[2] * 2))
            key = f"h{dim}." + "x".join(map(str, grid))
            named[f"{key}.cos"] = cos[0, :, 0, 0::2].float()
            named[f"{key}.sin"] = sin[0, :, 0, 1::2].float()
    store.tensors(goldens / "rope.safetensors", named)
