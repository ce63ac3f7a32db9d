"""VAE goldens: decode and encode, frame group by frame group.

`vae.safetensors` has, per decode case c, `c.latents` [1, 16, T, h, w] in model space (what the sampler ends with), `c.raw` the same in VAE space
(raw = latents * std + mean) and `c.frames` [1, 3, 1 + 4(T - 1), 8h, 8w] in [-1, 1]; and per encode case `c.pixels` U8 (x = pixel / 127.5 - 1),
`c.mean` the posterior mean in VAE space and `c.latents` the same in model space. The frames of latent frame i are frame 0 for i = 0 and
4i - 3 .. 4i after that: a causal decoder gives the same for any prefix, which is checked here.
`vae.json` lists the cases with the share of clamped values and the error of plain BF16.
"""

from pathlib import Path

import torch

import seeded
import store

DECODE = {
    "tiny": {"square": (5, 2, 2), "ragged": (4, 2, 3), "still": (1, 2, 7)},
    "tiny64": {"square": (5, 2, 2), "ragged": (3, 2, 5), "still": (1, 1, 3)},
    "tiny128": {"ragged": (3, 2, 3)},
}
ENCODE = {
    "tiny": {"thirteen": (13, 24, 40), "seventeen": (17, 16, 48), "image": (1, 40, 24)},
    "tiny64": {"thirteen": (13, 24, 40), "seventeen": (17, 16, 16)},
    "tiny128": {},
}


def statistics(vae) -> tuple[torch.Tensor, torch.Tensor]:
    """Latent mean and std, each [1, z, 1, 1, 1]."""
    shape = (1, vae.config.z_dim, 1, 1, 1)
    return torch.tensor(vae.config.latents_mean).view(shape), torch.tensor(vae.config.latents_std).view(shape)


@torch.no_grad()
def make(pipeline, bf16_vae, folder: Path) -> None:
    """Writes the VAE goldens of one folder."""
    vae, name = pipeline.vae, folder.name
    mean, std = statistics(vae)
    named, facts = {}, dict(decode={}, encode={})
    for case, size in DECODE[name].items():
        latents = seeded.randn(f"{name}/vae/{case}", 1, 16, *size)
        raw = latents / (1.0 / std) + mean  # the pipeline's own order of operations
        frames = vae.decode(raw).sample
        for cut in range(1, size[0]):
            prefix = vae.decode(raw[:, :, :cut]).sample
            assert seeded.error(prefix, frames[:, :, : prefix.shape[2]]) < 1e-6, (case, cut)
        low = bf16_vae.decode(raw.bfloat16()).sample
        named |= {f"{case}.latents": latents, f"{case}.raw": raw, f"{case}.frames": frames}
        clamped = float((frames.abs() == 1).float().mean())
        assert clamped < 0.2, f"{name}/{case}: {clamped} of the values are clamped"
        facts["decode"][case] = dict(clamped=clamped, bf16_error=seeded.error(low, frames))
    for case, (count, height, width) in ENCODE[name].items():
        pixels = _pixels(f"{name}/pixels/{case}", count, height, width)
        x = pixels.float() / 127.5 - 1
        encoded = vae.encode(x).latent_dist.mean
        low = bf16_vae.encode(x.bfloat16()).latent_dist.mean
        latents = (encoded - mean) / std
        named |= {f"{case}.pixels": pixels, f"{case}.mean": encoded, f"{case}.latents": latents}
        facts["encode"][case] = dict(bf16_error=seeded.error((low.float() - mean) / std, latents))
    store.tensors(folder / "vae.safetensors", named)
    store.scalars(folder / "vae.json", facts)


def _pixels(key: str, count: int, height: int, width: int) -> torch.Tensor:
    """U8 pixels [1, 3, F, H, W] of moving waves plus noise: smooth and rough parts, no constant channel."""
    f, y, x = torch.meshgrid(torch.arange(count), torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin(0.3 * x + 0.7 * f + c) * torch.cos(0.2 * y - 0.4 * f * c) for c in range(3)]
    noise = seeded.randn(key, 1, 3, count, height, width)
    return (127.5 + 90 * torch.stack(waves)[None] + 12 * noise).round().clamp(0, 255).to(torch.uint8)
