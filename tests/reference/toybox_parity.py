"""The bundled model through diffusers and through `tessera generate`, from the same starting latents, in F32.

    scripts/goldens' python tests/reference/toybox_parity.py [--steps 8] [--frames 17] [--size 256x256]

Compares the saved PNG frames with diffusers' frames rounded to 8 bits and ends with an error below 50 dB of PSNR. (Two correct F32 programs differ
by less than half a level almost everywhere, so what is left is rounding at the edges between levels: 60 dB or more.)
"""

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import toybox

BAR_DB = 50.0


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two U8 arrays in dB; infinite when equal."""
    mse = float(((a.astype(np.float64) - b.astype(np.float64)) ** 2).mean())
    return math.inf if mse == 0 else 10 * math.log10(255.0**2 / mse)


def main() -> None:
    """Runs both and compares frame by frame."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--size", default="256x256", help="WIDTHxHEIGHT")
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prompt", default=toybox.PROMPT)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="ours; diffusers always runs in F32")
    parser.add_argument("--bar", type=float, default=BAR_DB, help="least PSNR of a frame, dB")
    parser.add_argument("--checkpoint", type=Path, default=toybox.CHECKPOINT, help="folder that both run")
    parser.add_argument("--binary", type=Path, default=toybox.BINARY)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))

    shape = (1, 16, (args.frames - 1) // 4 + 1, height // 8, width // 8)
    latents = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(args.seed))
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        # Both sides read one snapshot: the bundled model may be replaced while this runs.
        model = shutil.copytree(args.checkpoint, scratch / "model")
        with torch.no_grad():
            want = toybox.pipeline(torch.float32, model)(
                args.prompt, height=height, width=width, num_frames=args.frames, num_inference_steps=args.steps,
                guidance_scale=args.guidance, latents=latents.clone(), output_type="np",
            ).frames[0]  # fmt: skip
        want = (want * 255).round().astype(np.uint8)
        save_file({"latents": latents}, scratch / "start.safetensors")
        toybox.generate(
            args.prompt, "--width", width, "--height", height, "--frames", args.frames,
            "--steps", args.steps, "--guidance", args.guidance, "--dtype", args.dtype, "--model", model,
            "--initial-latents", scratch / "start.safetensors", "--save-frames",
            "--out", scratch / "clip.mp4", binary=args.binary,
        )  # fmt: skip
        paths = sorted((scratch / "clip.frames").glob("*.png"))
        got = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    if got.shape != want.shape:
        raise SystemExit(f"frames differ in shape: ours {got.shape}, diffusers {want.shape}")
    each = [psnr(a, b) for a, b in zip(got, want)]
    worst = int(np.abs(got.astype(int) - want.astype(int)).max())
    equal = float((got == want).mean())
    report = dict(psnr=psnr(got, want), worst_frame_psnr=min(each), largest_difference=worst, equal_share=equal)
    print(json.dumps(report))
    if min(each) < args.bar:
        raise SystemExit(f"a frame has {min(each):.1f} dB, below {args.bar} dB")


if __name__ == "__main__":
    main()
