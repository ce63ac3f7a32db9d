"""Sampler goldens: whole trajectories on a toy velocity that needs no model.

`samplers.safetensors` has, per run r, `r.start` [n], `r.velocity` [N, n] (what the toy gave at each step), `r.samples` [N, n] (after each step, diffusers in
F32 as it ships), `r.exact` [N, n] (the same diffusers code fed the same velocities in F64, from the same F32 sigmas) and `r.sigmas` [N + 1].
`samplers.json` has timesteps, the flow shift, the scheduler's class and config file, and how far F32 strays from F64.
"""

from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

import seeded
import store
from folders import SCHEDULER

DPM = dict(
    algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint", use_flow_sigmas=True,
    prediction_type="flow_prediction", final_sigmas_type="zero",
)  # fmt: skip
SIZE = 16


def runs():
    """(name, scheduler class, its config, N) of every golden run."""
    for steps in (4, 12, 50):
        for shift in (3.0, 5.0):
            yield f"unipc.{shift:g}.{steps}", UniPCMultistepScheduler, SCHEDULER | {"flow_shift": shift}, steps
            yield f"dpm.{shift:g}.{steps}", DPMSolverMultistepScheduler, DPM | {"flow_shift": shift}, steps
        yield f"euler.3.{steps}", FlowMatchEulerDiscreteScheduler, {"shift": 3.0}, steps
    yield "unipc.3.1", UniPCMultistepScheduler, SCHEDULER, 1
    yield "dpm.3.2", DPMSolverMultistepScheduler, DPM | {"flow_shift": 3.0}, 2
    yield "unipc.8.3", UniPCMultistepScheduler, SCHEDULER | {"flow_shift": 8.0}, 3


def toy(sample: torch.Tensor, sigma: float, tilt: torch.Tensor) -> torch.Tensor:
    """Velocity (x - x0) / sigma of the made-up denoiser x0 = 0.8 tanh(1.3 x + tilt)."""
    return (sample - 0.8 * torch.tanh(1.3 * sample + tilt)) / max(sigma, 1e-3)


def _run(cls, config: dict, steps: int, start: torch.Tensor, velocities: torch.Tensor | None):
    """Steps through; makes the velocities with the toy when none are given. Returns (scheduler, velocities, samples)."""
    scheduler = cls(**config)
    scheduler.set_timesteps(steps)
    if start.dtype == torch.float64:
        scheduler.sigmas = scheduler.sigmas.double()
    tilt = seeded.randn("samplers/tilt", SIZE)
    used, samples, sample = [], [], start
    for i, t in enumerate(scheduler.timesteps):
        velocity = toy(sample, float(scheduler.sigmas[i]), tilt) if velocities is None else velocities[i]
        # A batch and channel axis in front: the solvers contract over them.
        out = scheduler.step(velocity.to(start.dtype)[None, None], t, sample[None, None], return_dict=False)[0]
        sample = out[0, 0].to(start.dtype)
        used.append(velocity)
        samples.append(sample)
    return scheduler, torch.stack(used), torch.stack(samples)


def make(goldens: Path) -> None:
    """Writes `samplers.safetensors` and `samplers.json`."""
    named, facts = {}, {}
    for name, cls, config, steps in runs():
        start = seeded.randn(f"samplers/{name}", SIZE)
        scheduler, velocities, samples = _run(cls, config, steps, start, None)
        torch.set_default_dtype(torch.float64)
        _, _, exact = _run(cls, config, steps, start.double(), velocities)
        torch.set_default_dtype(torch.float32)
        named |= {
            f"{name}.start": start, f"{name}.velocity": velocities, f"{name}.samples": samples,
            f"{name}.exact": exact, f"{name}.sigmas": scheduler.sigmas.float(),
        }  # fmt: skip
        facts[name] = dict(
            scheduler_class=cls.__name__,
            config=scheduler.to_json_string(),  # the text of scheduler_config.json; DPM's has a bare -Infinity in it
            steps=steps,
            shift=config.get("flow_shift", config.get("shift")),
            timesteps=[float(t) for t in scheduler.timesteps],
            f32_error=max(seeded.error(a, b) for a, b in zip(samples, exact)),
        )
    store.tensors(goldens / "samplers.safetensors", named)
    store.scalars(goldens / "samplers.json", facts)
