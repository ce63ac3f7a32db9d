"""Training the video VAE: renders made inside the step, a loss that looks where things move, held-out PSNR.

No KL term: noise on the latent makes the decoder forgive a denoiser's errors, and a small pull keeps each channel near mean 0 and
deviation 1. Windows first (fast), whole frames at the end (the attention in the middle is global).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from . import vae_fast
from .loop import run
from .muon import Muon, Optimisers, adamw
from .render import render
from .tracks import FRAMES


def new_vae(base=16):
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=base,
        z_dim=vae_fast.LATENT,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * vae_fast.LATENT,
        latents_std=[1.0] * vae_fast.LATENT,
    )


def picture_loss(out, x):
    """[B, 3, T, H, W] in [-1, 1]: L1 and L2 (both up to five times where the clip moves), and L1 of spatial and temporal differences.

    PSNR is the target, and it counts squares: with a factor of ten, L2 outweighs L1 wherever the error is above 0.05.
    """
    d = out - x
    weight = 1.0
    if x.shape[2] > 1:
        moving = (x[:, :, 1:] - x[:, :, :-1]).abs().mean(1, keepdim=True)
        moving = torch.maximum(F.pad(moving, (0, 0, 0, 0, 1, 0)), F.pad(moving, (0, 0, 0, 0, 0, 1)))
        weight = 1 + 4 * (3 * moving).clamp(max=1)
    edges = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    flicker = (d[:, :, 1:] - d[:, :, :-1]).abs().mean() if x.shape[2] > 1 else 0.0
    return (d.abs() * weight).mean() + (10 * weight * d.square()).mean() + 0.5 * edges + 0.25 * flicker


def step_loss(vae, clip, frames, batch, window, length, full, noise):
    """One random batch, rendered, coded and decoded."""
    dev = clip.device
    pick = torch.randint(0, len(clip), (batch,), device=dev)
    place = lambda room: torch.randint(0, room + 1, (batch,), device=dev)
    offset = torch.stack([place(FRAMES - length), place(full - window), place(full - window)], 1).int()
    pictures = render(clip[pick], frames[pick], size=window, frames=length, offset=offset, full=full)
    with torch.autocast(dev.type, torch.bfloat16, enabled=dev.type == 'cuda'):
        x = vae_fast.prepare(pictures)
        z = vae_fast.encode(vae, x).float()
        std, mean = z.std((0, 2, 3, 4), keepdim=True), z.mean((0, 2, 3, 4), keepdim=True)
        z = z + torch.randn_like(z) * torch.rand(batch, 1, 1, 1, 1, device=dev) * noise * std.detach()
        out = vae_fast.decode(vae, z.to(x.dtype))
    return picture_loss(out.float(), x[:, :3, 2:].float()) + 0.02 * ((std - 1).square() + mean.square()).mean()


def train(vae, tracks, seconds, path, full=256, window=128, length=17, batch=16, batch_full=4, rate=6e-3, noise=0.15, max_steps=10**9):
    """tracks: (clip, frames) tensors on the device."""
    clip, frames = tracks
    dev = clip.device
    matrix = lambda n, p: p.dim() >= 4 and not any(s in n for s in ('gamma', 'conv_in', 'decoder.conv_out', 'quant'))
    named = list(vae.named_parameters())
    optimisers = Optimisers(
        dev,
        Muon([p for n, p in named if matrix(n, p)], lr=rate),
        adamw([p for n, p in named if not matrix(n, p)], rate / 4, dev, betas=(0.9, 0.95)),
    )

    def phase(b, w):
        def step():
            optimisers.zero_grad()
            loss = step_loss(vae, clip, frames, b, w, length, full, noise)
            loss.backward()
            optimisers.step()
            return loss.detach()

        return step

    return run(
        'vae',
        [(0.6, phase(batch, window)), (1.0, phase(batch_full, full))],
        optimisers,
        {'vae': vae},
        seconds,
        0.3,
        path,
        [batch, batch_full],
        max_steps=max_steps,
    )


@torch.no_grad()
def finish(vae, tracks, full=256, n=64):
    """Writes the latent's statistics into the config, and a small constant variance into the encoder (it was trained without one)."""
    clip, frames = tracks
    vae.quant_conv.weight[vae_fast.LATENT :] = 0
    vae.quant_conv.bias[vae_fast.LATENT :] = 2 * math.log(0.05)
    vae.register_to_config(latents_mean=[0.0] * vae_fast.LATENT, latents_std=[1.0] * vae_fast.LATENT)
    z = torch.cat(
        [
            vae_fast.to_latents(vae, render(clip[i : i + 8], frames[i : i + 8], size=full, full=full, frames=FRAMES))
            for i in range(0, min(n, len(clip)), 8)
        ]
    )
    vae.register_to_config(
        latents_mean=[round(v, 5) for v in z.mean((0, 2, 3, 4)).tolist()], latents_std=[round(v, 5) for v in z.std((0, 2, 3, 4)).tolist()]
    )


@torch.no_grad()
def psnr(vae, tracks, full=256, length=FRAMES):
    """dB a clip, over 8-bit frames; and the last batch as (real, decoded) to look at."""
    clip, frames = tracks
    values, pair = [], None
    for i in range(0, len(clip), 4):
        real = render(clip[i : i + 4], frames[i : i + 4], size=full, full=full, frames=length)
        again = vae_fast.to_clips(vae, vae_fast.to_latents(vae, real))
        error = (again.float() - real.float()).square().mean((1, 2, 3, 4))
        values += (10 * torch.log10(255**2 / error)).tolist()
        pair = pair or (real, again)
    return values, pair


def mean_and_worst(values):
    return float(np.mean(values)), float(np.min(values))
