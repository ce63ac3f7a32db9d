"""Writing goldens so that a second run gives the same bytes: sorted keys, no dates, one trailing newline."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file


def tensors(path: Path, named: dict[str, torch.Tensor]) -> None:
    """Saves tensors (contiguous copies, F32 unless they are integers) as one safetensors file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.detach().contiguous().clone() for name, value in sorted(named.items())}, path)
    path.chmod(0o644)


def scalars(path: Path, value: object) -> None:
    """Saves plain numbers, strings and lists as readable JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
