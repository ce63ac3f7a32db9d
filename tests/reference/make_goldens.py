"""Makes everything under tests/goldens from PyPI packages and seeds alone.

Run it through `scripts/goldens`. One thread and deterministic algorithms, so that a second run on the same kind of CPU gives the same bytes; another kind
of CPU may change the last bits of sums (not of weights, inputs or noise), far below the tests' bars.
"""

import argparse
import copy
import platform
from pathlib import Path

import diffusers
import torch
import transformers

import clip
import distances
import folders
import noise
import prompts
import rope
import samplers
import store
import text
import transformer
import vae

HERE = Path(__file__).resolve().parent


def in_bf16(checkpoint: Path):
    """The folder in BF16 as diffusers loads it (its own list of F32 tensors is kept); its VAE stays F32."""
    pipeline = folders.load(checkpoint, torch_dtype={"default": torch.bfloat16, "vae": torch.float32})
    assert pipeline.transformer.dtype == torch.bfloat16 and pipeline.vae.dtype == torch.float32
    return pipeline


def main() -> None:
    """Parses the command line and makes the goldens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parent / "goldens", help="folder to write into")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    diffusers.utils.logging.set_verbosity_error()
    for recipe in folders.RECIPES:
        folder = out / recipe.name
        pipeline = folders.build(recipe, out)
        bf16 = in_bf16(folder / "checkpoint")
        texts = text.make(pipeline, bf16, folder)
        transformer.make(pipeline, bf16, texts, folder)
        vae.make(pipeline, copy.deepcopy(pipeline.vae).bfloat16(), folder)
        clip.make(pipeline, bf16, folder)
        print(f"{recipe.name}: done", flush=True)
    rope.make(out)
    samplers.make(out)
    noise.make(out)
    prompts.make(out)
    distances.make(out)
    versions = {m.__name__: m.__version__.split("+")[0] for m in (torch, diffusers, transformers)}
    store.scalars(out / "made_with.json", versions | {"machine": platform.machine()})


if __name__ == "__main__":
    main()
