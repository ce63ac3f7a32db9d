"""Where a clip's objects and their shadows are, on the latent's grid: the transformer's loss counts those places more.

Objects are small, and sky and floor are learnt early; without this, most of the gradient is about those. The
weight does not change what the best prediction is at any place, only how much each place matters.
"""

import torch

REACH = 0.8  # radius of the disc around an object of scale 1
EXTRA = 2.0  # weight of a covered place, on top of 1


def discs(frames, clip, k):
    """Screen position and radius of object k and of its shadow, each [n, T] in [-1, 1] units; y grows downwards."""
    b = 13 + 13 * k
    eye, right, up, ahead, focal = frames[..., 0:3], frames[..., 3:6], frames[..., 6:9], frames[..., 9:12], frames[..., 12]
    centre, scale = frames[..., b : b + 3], frames[..., b + 12]
    sun = clip[:, None, 27:30]
    shadow = centre - sun * (centre[..., 1:2] / sun[..., 1:2])
    for point in (centre, shadow):
        away = point - eye
        depth = (away * ahead).sum(-1).clamp(min=0.5)
        yield focal * (away * right).sum(-1) / depth, -focal * (away * up).sum(-1) / depth, focal * REACH * scale / depth


def focus(clip, frames, side, batch=256):
    """clip [n, 64], frames [n, T, 48] on a device -> uint8 [n, (T - 1) / 4 + 1, side, side], 1 where an object or a shadow is."""
    grid = (torch.arange(side, device=clip.device) + 0.5) * (2 / side) - 1
    out = []
    for i in range(0, len(clip), batch):
        c, f = clip[i : i + batch], frames[i : i + batch]
        covered = torch.zeros(*f.shape[:2], side, side, dtype=torch.bool, device=clip.device)
        for k in range(2):
            present = (c[:, 0] > k)[:, None, None, None]
            for x, y, r in discs(f, c, k):
                squared = (grid - x[..., None, None]).square() + (grid[:, None] - y[..., None, None]).square()
                covered |= present & (squared < (r[..., None, None] + 1 / side).square())
        later = covered[:, 1:].unflatten(1, (-1, 4)).amax(2)  # a latent frame stands for four frames, the first for one
        out.append(torch.cat([covered[:, :1], later], 1).to(torch.uint8))
    return torch.cat(out)


def weights(covered):
    """Loss weights of mean about 1, as a factor for covered and for other places."""
    share = covered[:2048].float().mean().item()
    return (1 + EXTRA) / (1 + EXTRA * share), 1 / (1 + EXTRA * share)
