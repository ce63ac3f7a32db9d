"""Contact sheets: a row a clip, some of its frames from left to right."""

import numpy as np
import torch
from PIL import Image


def save_sheet(clips, path, columns=8, side=None):
    """clips: uint8 [n, T, H, W, 3]; side: size of a frame in the picture."""
    clips = clips.cpu()
    pick = np.linspace(0, clips.shape[1] - 1, columns).round().astype(int)
    n, h, w = clips.shape[0], *clips.shape[2:4]
    picture = Image.fromarray(clips[:, torch.tensor(pick)].permute(0, 2, 1, 3, 4).reshape(n * h, columns * w, 3).numpy())
    if side:
        picture = picture.resize((columns * side, n * side), Image.LANCZOS)
    picture.save(path)
