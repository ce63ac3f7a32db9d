"""Names what is in a clip, from pixels: the judge of the evaluation, trained on renders.

It sees every second frame at half size. Which objects there are is one softmax over the 40 (colour, shape) pairs, whose target is
shared among the pairs present; decoding takes the likeliest one or two. Some training clips have been through the VAE, with noise on the latent,
so that a generated clip's softness is nothing new to it.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from . import vae_fast
from .render import render
from .scene import COLOR_NAMES, LABELS, SHAPES
from .tracks import FRAMES

PAIRS = len(COLOR_NAMES) * len(SHAPES)
HEADS = dict(count=2, motion=12, camera=6, floor=6, checker=2, sky=4)


def pair_targets(labels):
    """labels [n, 13] -> pair of the first and of the second object (-1 where there is none), as colour * 5 + shape."""
    column = {k: i for i, k in enumerate(LABELS)}
    at = lambda k: labels[:, column[k]]
    second = (at('color1') - 1) * len(SHAPES) + at('shape1') - 1
    return at('color0') * len(SHAPES) + at('shape0'), torch.where(at('count') == 1, second, torch.full_like(second, -1))


def shrink(clips):
    """uint8 [B, T, H, W, 3] -> uint8 [B, 3, T/2, H/2, W/2], what the classifier looks at."""
    x = clips[:, ::2].float()
    b, t, h, w, _ = x.shape
    return x.view(b, t, h // 2, 2, w // 2, 2, 3).mean((3, 5)).round().to(torch.uint8).permute(0, 4, 1, 2, 3).contiguous()


class Classifier(nn.Module):
    """Strided 3-D convolutions, three attention layers over what is left (9 x 8 x 8 for a full clip), one query a question."""

    def __init__(self, side=128, frames=17, width=192):
        super().__init__()
        sizes, strides = [3, 32, 64, 128, width], [(1, 2, 2), (1, 2, 2), (2, 2, 2), (1, 2, 2)]
        layers = []
        for i, stride in enumerate(strides):
            k = (1, 5, 5) if i == 0 else (3, 3, 3)
            layers += [
                nn.Conv3d(sizes[i], sizes[i + 1], k, stride=stride, padding=tuple(n // 2 for n in k)),
                nn.GroupNorm(8, sizes[i + 1]),
                nn.SiLU(),
            ]
        self.body = nn.Sequential(*layers)
        tokens = ((frames + 1) // 2) * (side // 16) ** 2
        self.place = nn.Parameter(torch.randn(1, tokens, width) * 0.02)
        self.mix = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, activation='gelu', batch_first=True, norm_first=True)
                for _ in range(3)
            ]
        )
        self.query = nn.Parameter(torch.randn(1, len(HEADS) + 1, width) * 0.1)
        self.look = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.out = nn.ModuleList([nn.Linear(width, n) for n in [*HEADS.values(), PAIRS]])

    def forward(self, x):
        """float [B, 3, T, H, W] in [-1, 1] -> {question: logits}."""
        h = self.body(x).flatten(2).transpose(1, 2) + self.place
        for layer in self.mix:
            h = layer(h)
        h = self.norm(h)
        o, _ = self.look(self.query.expand(len(x), -1, -1), h, h, need_weights=False)
        return {k: f(o[:, i]) for i, (k, f) in enumerate(zip([*HEADS, 'pair'], self.out))}


def loss_of(out, labels):
    column = {k: i for i, k in enumerate(LABELS)}
    total = sum(F.cross_entropy(out[k].float(), labels[:, column[k]]) for k in HEADS)
    first, second = pair_targets(labels)
    two = (second >= 0).float()
    logp = out['pair'].float().log_softmax(1)
    share = 1 / (1 + two)
    chosen = logp.gather(1, first[:, None])[:, 0] + two * logp.gather(1, second.clamp(min=0)[:, None])[:, 0]
    return total - 2 * (chosen * share).mean()


def augment(x):
    """uint8 -> float in [-1, 1] with grain, a change of contrast and, for some clips, softness."""
    b, dev = len(x), x.device
    x = x.float() / 127.5 - 1
    soft = F.avg_pool3d(x, (1, 3, 3), stride=1, padding=(0, 1, 1), count_include_pad=False)
    x = torch.lerp(x, soft, (torch.rand(b, 1, 1, 1, 1, device=dev) - 0.5).clamp(min=0) * 2)
    x = x * (0.92 + 0.16 * torch.rand(b, 1, 1, 1, 1, device=dev)) + 0.06 * torch.randn(b, 1, 1, 1, 1, device=dev)
    return x + torch.randn_like(x) * torch.rand(b, 1, 1, 1, 1, device=dev) * 0.05


@torch.no_grad()
def pool(clip, frames, device, full=256, vae=None, noise=0.35, batch=32):
    """Tracks (numpy) -> shrunk clips on the device; with a VAE they pass through it, with up to `noise` deviations added to the latent."""
    out = []
    for i in range(0, len(clip), batch):
        x = render(
            torch.tensor(clip[i : i + batch], device=device),
            torch.tensor(frames[i : i + batch], device=device),
            size=full,
            full=full,
            frames=FRAMES,
        )
        if vae is not None:
            z = vae_fast.to_latents(vae, x)
            x = vae_fast.to_clips(vae, z + torch.randn_like(z) * torch.rand(len(z), 1, 1, 1, 1, device=z.device) * noise)
        out.append(shrink(x))
    return torch.cat(out)


def train(model, clips, labels, steps, batch=128, rate=1e-3):
    """clips: shrunk uint8, labels [n, 13], on one device."""
    cuda = clips.is_cuda
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.02, fused=cuda)
    for s in range(steps):
        for g in optimiser.param_groups:
            g['lr'] = rate * min(1.0, (s + 1) / 100) * max(0.01, 1 - s / steps)
        pick = torch.randint(0, len(clips), (batch,), device=clips.device)
        with torch.autocast(clips.device.type, torch.bfloat16, enabled=cuda):
            loss = loss_of(model(augment(clips[pick])), labels[pick])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if (s + 1) % 200 == 0 or s + 1 == steps:
            print('classifier: step %d, loss %.3f' % (s + 1, loss.item()), flush=True)
    return model.eval()


@torch.no_grad()
def answers(model, clips, batch=64):
    """Shrunk clips -> {question: class} and the order of the pairs, likeliest first."""
    outs = []
    for i in range(0, len(clips), batch):
        with torch.autocast(clips.device.type, torch.bfloat16, enabled=clips.is_cuda):
            outs.append(model(clips[i : i + batch].float() / 127.5 - 1))
    result = {k: torch.cat([o[k] for o in outs]).argmax(1) for k in HEADS}
    result['pair'] = torch.cat([o['pair'] for o in outs]).float().argsort(1, descending=True)
    return result


def scores(found, labels):
    """Accuracies, with how many were asked: {name: (share right, n)}.

    Objects are compared as a set, since a picture does not say which was named first: of the two ways to match two found with two asked, the better counts.
    `shape` and `color` are over objects, `pair` asks for both of one object, `both objects` for all of a two-object clip and for the right count.
    """
    column = {k: i for i, k in enumerate(LABELS)}
    shape, color, pair, first_pair, both = [], [], [], [], []
    first, second = pair_targets(labels)
    split = lambda p: (p // len(SHAPES), p % len(SHAPES))
    for i in range(len(labels)):
        asked = [int(first[i])] + ([int(second[i])] if second[i] >= 0 else [])
        seen = [int(p) for p in found['pair'][i, : len(asked)]]
        orders = [seen, seen[::-1]] if len(asked) == 2 else [seen]
        right = lambda order: [(split(a)[1] == split(s)[1], split(a)[0] == split(s)[0], a == s) for a, s in zip(asked, order)]
        best = max((right(o) for o in orders), key=lambda r: (sum(x[2] for x in r), sum(x[0] + x[1] for x in r)))
        shape += [x[0] for x in best]
        color += [x[1] for x in best]
        pair += [x[2] for x in best]
        first_pair.append(best[0][2])
        if len(asked) == 2:
            both.append(all(x[2] for x in best) and int(found['count'][i]) == 1)
    part = lambda v: (round(sum(v) / max(len(v), 1), 4), len(v))
    table = {
        'object shape': part(shape),
        'object colour': part(color),
        'object shape and colour': part(pair),
        'first object shape and colour': part(first_pair),
        'both objects of two': part(both),
    }
    for k in HEADS:
        table[k] = part((found[k].cpu() == labels[:, column[k]].cpu()).tolist())
    return table
