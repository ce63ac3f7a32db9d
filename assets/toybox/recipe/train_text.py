"""Teaching the text encoder to read before the transformer listens: caption -> the attributes of its scene.

Every attribute has a query that looks for it among the encoder's outputs, which forces words to be bound to the things they describe.
The queries are thrown away afterwards. A resumed encoder is only taught the new phrases, at a low rate, after the queries have fitted it.
"""

import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from .dit_fast import encode_text
from .scene import LABELS


class Reader(nn.Module):
    """One attention query an attribute over the encoder's outputs, then a linear classifier."""

    def __init__(self, width, heads=4, size=48):
        super().__init__()
        self.heads, self.size = heads, size
        self.query = nn.Parameter(torch.randn(len(LABELS), heads, size) * 0.3)
        self.key, self.value = nn.Linear(width, heads * size), nn.Linear(width, heads * size)
        self.out = nn.ModuleList([nn.Linear(heads * size, n) for n in LABELS.values()])

    def forward(self, h, mask):
        k, v = (p(h).unflatten(2, (self.heads, self.size)) for p in (self.key, self.value))
        a = torch.einsum('ahd,blhd->bahl', self.query, k) / self.size**0.5
        o = torch.einsum('bahl,blhd->bahd', a.masked_fill(~mask[:, None, None], -1e9).softmax(-1), v).flatten(2)
        return [f(o[:, i]) for i, f in enumerate(self.out)]


def read(te, reader, ids):
    return reader(encode_text(te, ids)[:, :-1], ids != 0)


def train(te, ids, labels, steps, rate, frozen=0, batch=128, log=100):
    """ids [n, captions, rows], labels [n, 13], on the device. The encoder stays as it is for the first `frozen` steps.
    -> accuracy an attribute on the last 512 scenes, which are not trained on."""
    dev = ids.device
    reader = Reader(te.config.d_model).to(dev)
    groups = [{'params': list(reader.parameters()), 'lr': 1e-3}, {'params': list(te.parameters()), 'lr': rate}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    held = min(512, len(ids) // 4)
    started, accuracy = time.time(), {}
    for s in range(steps):
        down = max(0.02, 1 - s / steps)
        optimiser.param_groups[0]['lr'] = 1e-3 * min(1.0, (s + 1) / 50) * down
        optimiser.param_groups[1]['lr'] = rate * min(1.0, max(0.0, (s + 1 - frozen) / 50)) * down
        pick = torch.randint(0, len(ids) - held, (batch,), device=dev)
        x = ids[pick, torch.randint(0, ids.shape[1], (batch,), device=dev)]
        loss = sum(F.cross_entropy(o, labels[pick, j]) for j, o in enumerate(read(te, reader, x)))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(te.parameters(), 1.0)
        optimiser.step()
        if (s + 1) % log == 0 or s + 1 == steps:
            with torch.no_grad():
                out = read(te, reader, ids[-held:, 0])
            accuracy = {k: round((o.argmax(1) == labels[-held:, j]).float().mean().item(), 3) for j, (k, o) in enumerate(zip(LABELS, out))}
            print('text: step %d, %.0f s, loss %.3f' % (s + 1, time.time() - started, loss.item()), accuracy, flush=True)
    return accuracy
