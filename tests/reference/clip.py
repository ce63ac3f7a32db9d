"""Whole-clip goldens: WanPipeline from prompt and starting latents to frames, four steps with guidance.

`clip.safetensors` has `start` [1, 16, T, h, w], `step.i` (latents after step i), `latents` (= the last), `frames` [F, H, W, 3] F32 in
[0, 1]. (tiny128: latents only.)
`clip.json` has the request and
the errors of the plain BF16 pipeline (VAE in F32).
"""

from pathlib import Path

import torch

import seeded
import store

REQUEST = dict(
    prompt="a small red ball bounces on the blue floor", negative_prompt="the sky at night", guidance_scale=4.0,
    num_inference_steps=4, height=16, width=48, num_frames=9,
)  # fmt: skip


def _run(pipeline, start: torch.Tensor):
    """(latents after each step, frames [F, H, W, 3])."""
    kept = []

    def keep(_pipeline, _index, _t, tensors):
        kept.append(tensors["latents"].float().clone())
        return tensors

    out = pipeline(**REQUEST, latents=start.clone(), output_type="np", callback_on_step_end=keep).frames[0]
    return kept, torch.from_numpy(out)


@torch.no_grad()
def make(pipeline, bf16, folder: Path) -> None:
    """Writes the clip goldens of one folder; `bf16` has its VAE in F32."""
    grid = (REQUEST["num_frames"] - 1) // 4 + 1, REQUEST["height"] // 8, REQUEST["width"] // 8
    start = seeded.randn(f"{folder.name}/clip", 1, 16, *grid)
    steps, frames = _run(pipeline, start)
    low_steps, low_frames = _run(bf16, start)
    named = {"start": start, "latents": steps[-1], "frames": frames}
    if folder.name == "tiny128":  # its VAE has nothing that tiny's has not: keep the latents alone
        named = {"start": start, "latents": steps[-1]}
    named |= {f"step.{i}": latents for i, latents in enumerate(steps)}
    store.tensors(folder / "clip.safetensors", named)
    facts = dict(latents=seeded.error(low_steps[-1], steps[-1]), frames=seeded.error(low_frames, frames))
    store.scalars(folder / "clip.json", dict(request=REQUEST, bf16_error=facts))
