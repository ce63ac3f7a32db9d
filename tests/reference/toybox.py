"""What the toybox scripts share: the bundled checkpoint, its pipeline in diffusers, and a run of our binary."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "assets/toybox/checkpoint"
BINARY = ROOT / "target/release/tessera"
PROMPT = "a shiny red ball bouncing on a blue floor, the camera slowly orbits around"


def pipeline(dtype: torch.dtype, checkpoint: Path = CHECKPOINT):
    """diffusers' WanPipeline on the bundled checkpoint, every part in `dtype` (diffusers keeps its own F32 list)."""
    import folders

    return folders.load(checkpoint, torch_dtype=dtype)


def generate(*flags: object, binary: Path = BINARY) -> tuple[float, list[dict]]:
    """Runs `tessera generate` with flags and `--events jsonl`; returns (seconds of the whole process, its events)."""
    command = [str(binary), "generate", "--events", "jsonl", *map(str, flags)]
    with tempfile.TemporaryDirectory() as data:  # its own history: a measurement is nobody's clip
        start = time.perf_counter()
        environment = os.environ | {"TESSERA_DATA_DIR": data}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return seconds, events
