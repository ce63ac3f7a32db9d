"""The bundled model's clip on the first GPU: against the CPU, twice, by every method, recorded. Usage: clip.py TESSERA [STEPS].

Bars: BF16 on the GPU against F32 on the CPU at least 40 dB PSNR; two runs equal in every bit, recorded or not; every method runs.
Needs numpy and Pillow.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

PROMPT = "a red ball rolls on a checkered floor"
PLANNED = {"paro", "moa", "sparse-vdit", "power"}


def main(program, steps="12"):
    assets = pathlib.Path(__file__).resolve().parents[2] / "assets"
    folder = pathlib.Path(tempfile.mkdtemp())

    def made(name, *flags):
        out = folder / f"{name}.mkv"
        command = [program, "generate", PROMPT, "--seed", "3", "--steps", steps, "--codec", "ffv1", "--out", out]
        done = subprocess.run([*command, "--overwrite", "-q", "--save-frames", *flags], capture_output=True, text=True)
        if done.returncode:
            return None, done.stderr.strip().splitlines()[-1:]
        receipt = json.loads((folder / f"{name}.mkv.json").read_text())
        frames = next(file["path"] for file in receipt["files"] if file["what"] == "frames")
        pixels = [np.asarray(Image.open(path), dtype=np.float64) for path in sorted(pathlib.Path(frames).glob("*.png"))]
        return np.stack(pixels), receipt

    def line(name, receipt):
        phases = " ".join(f"{phase['phase']} {phase['seconds']:.2f} s" for phase in receipt["phases"])
        calls = receipt["calls"]
        times = f"attention {sum(c['attention_ms'] for c in calls):.0f} ms, estimate {sum(c['estimate_ms'] for c in calls):.0f} ms"
        peak = (receipt.get("peak_device_bytes") or 0) / 1e6
        print(f"{name}: {phases}; {times}; GPU peak {peak:.0f} MB, planned {receipt['planned_peak_bytes'] / 1e6:.0f} MB")

    bad = []
    reference, receipt = made("cpu", "--device", "cpu", "--dtype", "f32")
    line("cpu f32", receipt)
    runs = {"gpu": [], "gpu again": [], "gpu recorded": ["--record", folder / "r.tessera"], "gpu vae f32": ["--vae-dtype", "f32"], "gpu vae bf16": ["--vae-dtype", "bf16"]}
    frames = {}
    for name, flags in runs.items():
        frames[name], receipt = made(name.replace(" ", "-"), "--device", "cuda:0", *flags)
        if frames[name] is None:
            bad.append(f"{name}: {receipt}")
            continue
        line(name, receipt)
        error = ((frames[name] - reference) ** 2).mean(axis=(1, 2, 3))
        psnr = [10 * np.log10(255**2 / max(e, 1e-9)) for e in (error.mean(), error.max())]
        print(f"  PSNR to the CPU {psnr[0]:.1f} dB, worst frame {psnr[1]:.1f}")
        if psnr[0] < 40:
            bad.append(f"{name}: {psnr[0]:.1f} dB")
    for other in ("gpu again", "gpu recorded"):
        same = frames["gpu"] is not None and frames[other] is not None and np.array_equal(frames["gpu"], frames[other])
        print(f"gpu and {other} equal in every bit: {same}")
        if not same:
            bad.append(f"{other} differs")
    print("fallbacks of the first:", json.loads((folder / "gpu.mkv.json").read_text())["fallbacks"])
    listed = subprocess.run([program, "methods"], capture_output=True, text=True).stdout.splitlines()
    for method in (word for word in listed if word and not word.startswith(" ")):
        flags = ["--plan", assets / "toybox" / "plan.safetensors"] if method in PLANNED else []
        pixels, receipt = made(f"m-{method}", "--device", "cuda:0", "--attention", method, *flags)
        if pixels is None:
            bad.append(f"{method}: {receipt}")
            continue
        line(method, receipt)
        for fallback in receipt["fallbacks"]:
            print("  ", fallback)
    print("all well" if not bad else f"BAD: {bad}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
