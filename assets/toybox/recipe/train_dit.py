"""Training the transformer with the text encoder on encoded clips: rectified flow, first single frames (cheap), then videos."""

import torch

from . import focus, vae_fast
from .dit_fast import flow_loss, set_attention
from .loop import run
from .muon import Muon, Optimisers, adamw
from .render import render
from .tracks import FRAMES


@torch.no_grad()
def encode_corpus(vae, clip, frames, device, full=256, image=False, batch=16):
    """Tracks (numpy) -> normalised latents [n, 16, t, h, w] on the device, bf16 on a GPU. image: one random frame a clip."""
    length, out = 1 if image else FRAMES, None
    for i in range(0, len(clip), batch):
        c, f = torch.tensor(clip[i : i + batch], device=device), torch.tensor(frames[i : i + batch], device=device)
        offset = torch.zeros(len(c), 3, dtype=torch.int32, device=device)
        if image:
            offset[:, 0] = torch.randint(0, FRAMES, (len(c),), device=device)
        z = vae_fast.to_latents(vae, render(c, f, size=full, full=full, frames=length, offset=offset)).to(vae_fast.compute_dtype(device))
        if out is None:
            out = torch.empty(len(clip), *z.shape[1:], device=device, dtype=z.dtype)
        out[i : i + len(z)] = z
    return out


def train(
    dit,
    te,
    videos,
    images,
    seconds,
    path,
    image_share=0.0,
    batch=48,
    batch_image=512,
    rate=5e-3,
    text_rate=4e-4,
    hold=0.4,
    save_every=120,
    max_steps=10**9,
):
    """videos: (latents, token ids [n, captions, rows], covered places of `focus`); images: (latents, token ids), None when image_share is 0.

    Muon for the matrices of the blocks; AdamW for the rest and for the text encoder (Muon's fixed-size updates break T5, whose scores
    are not scaled).
    """
    dev = videos[0].device
    set_attention(dit, fast=True)
    if dev.type == 'cuda':
        for block in dit.blocks:
            block.compile(dynamic=False)
    matrix = lambda n, p: p.dim() == 2 and 'blocks.' in n
    named = list(dit.named_parameters())
    rest = [{'params': [p for n, p in named if not matrix(n, p)], 'lr': rate * 0.4}, {'params': list(te.parameters()), 'lr': text_rate}]
    optimisers = Optimisers(dev, Muon([p for n, p in named if matrix(n, p)], lr=rate, decay=0.01), adamw(rest, rate * 0.4, dev))

    def phase(data, b, shift):
        latents, ids, *covered = data
        covered = covered[0] if covered else None
        inside, outside = (1.0, 1.0) if covered is None else focus.weights(covered)

        def step():
            pick = torch.randint(0, len(latents), (b,), device=dev)
            words = ids[pick, torch.randint(0, ids.shape[1], (b,), device=dev)].long()
            weight = 1.0 if covered is None else outside + (inside - outside) * covered[pick].unsqueeze(1).float()
            optimisers.zero_grad()
            loss = flow_loss(dit, te, latents[pick], words, shift, weight)
            loss.backward()
            optimisers.step()
            return loss.detach()

        return step

    phases, sizes = [(1.0, phase(videos, batch, 2.5))], [batch]
    if image_share:
        phases, sizes = [(image_share, phase(images, batch_image, 1.5))] + phases, [batch_image] + sizes
    result = run(
        'dit', phases, optimisers, {'dit': dit, 'text': te}, seconds, hold, path, sizes, save_every=save_every, max_steps=max_steps
    )
    set_attention(dit, fast=False)
    return result
