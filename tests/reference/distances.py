"""LPIPS by its reference implementation and MS-SSIM by pytorch-msssim, on seeded weights and pictures made by a formula.

Nothing but the figures is stored: weights are `torch.randn` seeded by their place in a list, which the Rust test draws again bit by
bit, and pictures are integers.
"""

from pathlib import Path

import lpips
import numpy
import pytorch_msssim
import torch

import store

# Width, height and strength of the error: odd sizes too, down to the smallest that the network takes.
PICTURES = [(64, 64, 12), (95, 61, 40), (31, 33, 90)]
SCALES = [(256, 256, 6), (352, 192, 25), (176, 176, 60)]


def picture(width: int, height: int, shift: int) -> torch.Tensor:
    """Integers from 0 to 255 as [3, height, width], moved on by `shift` in every second column."""
    x, y, c = numpy.meshgrid(numpy.arange(width), numpy.arange(height), numpy.arange(3), indexing="ij")
    values = (x * (3 + c) + y * y // 7 + shift * (x % 2)) % 256
    return torch.from_numpy(values.transpose(2, 1, 0).astype(numpy.float32))


def weights(model: lpips.LPIPS) -> None:
    """Fills the network with seeded numbers: seed i for the i-th tensor of the list, in its order."""
    names = [f"net.slice{i + 1}.{n}.{what}" for i, n in enumerate([0, 3, 6, 8, 10]) for what in ("weight", "bias")]
    names += [f"lin{i}.model.1.weight" for i in range(5)]
    state = model.state_dict()
    for seed, name in enumerate(names):
        shape = state[name].shape
        values = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))
        if name.endswith("bias"):
            values = values * 0.1
        elif name.startswith("lin"):
            values = values.abs() / shape[1]
        else:
            values = values * (2.0 / shape[1:].numel()) ** 0.5
        state[name].copy_(values)


def make(out: Path) -> None:
    """Writes `distances.json`."""
    model = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False).eval()
    with torch.no_grad():
        weights(model)
        perceptual = [
            {
                "width": w,
                "height": h,
                "shift": s,
                "lpips": float(model(picture(w, h, 0)[None] / 127.5 - 1, picture(w, h, s)[None] / 127.5 - 1)),
            }
            for w, h, s in PICTURES
        ]
    scales = []
    for w, h, s in SCALES:
        a, b = (picture(w, h, shift)[None, :1] for shift in (0, s))
        scales.append({"width": w, "height": h, "shift": s, "ms_ssim": float(pytorch_msssim.ms_ssim(a, b, data_range=255))})
    store.scalars(out / "distances.json", {"lpips": perceptual, "ms_ssim": scales})

