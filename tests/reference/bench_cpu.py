"""Time of one clip on this CPU: diffusers' WanPipeline against `tessera generate`, in the same run, bundled model.

    python tests/reference/bench_cpu.py [--steps 20] [--out bench.json]

Both use all cores, the same prompt, size, steps and guidance. Phases: denoise (the loop with both guidance branches), decode (VAE and conversion to 8
bits), and end to end: the whole process from exec to exit with its video written, for diffusers with Python's imports (told apart as "import" in the JSON).
VAE and transformer run in the same format on both sides. Runs alternate, and medians are taken, because a machine drifts; but on a machine that does other work
the ratios mean nothing, so the load before the first run is recorded, and told when it is not near zero. Clips of a few steps measure torch's first-call cost.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import toybox

DTYPES = ("f32", "bf16")


def theirs(args: argparse.Namespace, dtype: str) -> dict[str, float]:
    """One diffusers run in a fresh process; seconds per phase."""
    flags = ["--worker", dtype, "--steps", args.steps, "--frames", args.frames, "--size", args.size]
    flags += ["--guidance", args.guidance, "--threads", args.threads]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, *map(str, flags)], capture_output=True, text=True)
    whole = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(done.stderr[-4000:])
    return json.loads(done.stdout.splitlines()[-1]) | {"end_to_end": whole}


def worker(args: argparse.Namespace) -> None:
    """The diffusers process: prints its phase times as one line of JSON."""
    started = time.perf_counter()
    import torch
    from diffusers.utils import export_to_video

    torch.set_num_threads(args.threads)
    imported = time.perf_counter()
    pipeline = toybox.pipeline({"f32": torch.float32, "bf16": torch.bfloat16}[args.worker])
    loaded = time.perf_counter()
    marks = []

    def mark(_pipeline, _index, _t, tensors):
        marks.append(time.perf_counter())
        return tensors

    width, height = map(int, args.size.split("x"))
    # The text encoder runs before the loop: time it by itself, then hand its rows in.
    with torch.no_grad():
        cond, uncond = pipeline.encode_prompt(toybox.PROMPT, "", max_sequence_length=512)
        encoded = time.perf_counter()
        video = pipeline(
            prompt_embeds=cond, negative_prompt_embeds=uncond, height=height, width=width, num_frames=args.frames,
            num_inference_steps=args.steps, guidance_scale=args.guidance, output_type="np",
            generator=torch.Generator("cpu").manual_seed(0), callback_on_step_end=mark,
        ).frames[0]  # fmt: skip
    decoded = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        export_to_video(video, str(Path(scratch) / "clip.mp4"), fps=16)
    ended = time.perf_counter()
    print(json.dumps(dict(
        **{"import": imported - started}, load=loaded - imported, encode_text=encoded - loaded,
        denoise=marks[-1] - encoded, decode=decoded - marks[-1], encode_video=ended - decoded,
    )))  # fmt: skip


def ours(args: argparse.Namespace, dtype: str) -> dict[str, float]:
    """One run of the binary; seconds per phase from its events, and of the whole process."""
    width, height = args.size.split("x")
    with tempfile.TemporaryDirectory() as scratch:
        whole, events = toybox.generate(
            toybox.PROMPT, "--width", width, "--height", height, "--frames", args.frames,
            "--steps", args.steps, "--guidance", args.guidance, "--seed", 0, "--dtype", dtype, "--vae-dtype", dtype,
            "--out", Path(scratch) / "clip.mp4", binary=args.binary,
        )  # fmt: skip
    return phases(events) | {"end_to_end": whole}


def phases(events: list[dict]) -> dict[str, float]:
    """Seconds per phase, from the `phase_finished` events."""
    found = {event["phase"]: event["elapsed_ms"] / 1000 for event in events if event.get("event") == "phase_finished"}
    if "denoise" not in found or "decode" not in found:
        raise SystemExit(f"no times of denoise and decode among the events; found {sorted(found)}")
    return found


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Median of every phase over the runs."""
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}


def main() -> None:
    """Runs both in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--size", default="256x256", help="WIDTHxHEIGHT")
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--binary", type=Path, default=toybox.BINARY)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--worker", choices=DTYPES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args)
    settings = ("steps", "frames", "size", "guidance", "repeats", "threads")
    load = os.getloadavg()[0]
    report: dict = dict(settings={name: getattr(args, name) for name in settings}, load_before=load)
    if load > 0.3 * args.threads:
        print(f"the machine is busy (load {load:.1f} on {args.threads} cores): do not quote these times", file=sys.stderr)
    print(f"{'':18}{'diffusers':>11}{'tessera':>11}{'ratio':>8}")
    for dtype in args.dtypes.split(","):
        pairs = [(theirs(args, dtype), ours(args, dtype)) for _ in range(args.repeats)]
        reference, own = (medians([pair[i] for pair in pairs]) for i in range(2))
        shared = [name for name in reference if name in own]
        ratio = {name: round(reference[name] / max(own[name], 1e-3), 2) for name in shared}
        report[dtype] = dict(diffusers=reference, tessera=own, ratio=ratio)
        for name in shared:
            label = f"{dtype} {name}"
            print(f"{label:18}{reference[name]:10.2f}s{own[name]:10.2f}s{ratio[name]:7.2f}x", flush=True)
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
