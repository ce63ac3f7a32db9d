"""The variants that are built for a bench. `variants.py` prints them as instances for hopper.cu."""

import torch

from pyramid import Config

DENSE = [
    Config(128, 128, 3, True),
    Config(128, 160, 2, True),
    Config(128, 176, 2, True),
    Config(128, 176, 2, True, turns=False),
    Config(64, 128, 4, True),
    Config(64, 176, 3, True),
    Config(64, 192, 3, True),
    Config(64, 192, 3, True, turns=False),
    Config(128, 176, 2, True, dtype=torch.float16),
    Config(64, 192, 3, True, turns=False, dtype=torch.float16),
]
PYRAMID = [
    Config(128, 128, 3, False),
    Config(128, 128, 3, False, turns=False),
    Config(64, 128, 4, False),
    Config(64, 128, 4, False, turns=False),
    Config(128, 128, 3, False, dtype=torch.float16),
    Config(64, 128, 4, False, dtype=torch.float16),
]

if __name__ == "__main__":
    for config in DENSE + PYRAMID:
        print(config.instance())
