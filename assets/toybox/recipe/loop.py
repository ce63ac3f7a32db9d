"""The training loop of every stage: a captured step, a time budget, a learning-rate shape, checkpoints to resume from."""

import os
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

# in this order; forcing a single one would leave some shapes without an implementation
ATTENTION = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
SYNC = 10  # steps between two looks at the clock: without them a captured step queues thousands of replays ahead


class Captured:
    """A step as one CUDA graph, so that a small model is not held up by launching its kernels one by one.

    `step` takes nothing and returns a 0-dim tensor; its data lie on the device and it draws its own random numbers there. The first calls run it as it is
    (kernels compile, optimiser states appear), the fourth records it, later ones replay. On a CPU every call runs it as it is.
    """

    def __init__(self, step, cuda):
        self.step, self.cuda, self.calls, self.graph, self.out = step, cuda, 0, None, None
        self.side = torch.cuda.Stream() if cuda else None

    def __call__(self):
        self.calls += 1
        if not self.cuda:
            return self.step()
        if self.calls <= 3:
            self.side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.side):
                out = self.step()
            torch.cuda.current_stream().wait_stream(self.side)
            return out
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.side):
                self.out = self.step()
        self.graph.replay()
        return self.out


def rate(progress, step, hold, warm=50):
    """Share of the base learning rate: a short warm-up, flat to `hold` of the budget, then straight to zero."""
    return min(1.0, (step + 1) / warm) * (1.0 if progress < hold else max(0.0, (1 - progress) / (1 - hold)) + 1e-3)


def run(name, phases, optimisers, modules, seconds, hold, path, batch_sizes, save_every=120, max_steps=10**9):
    """Trains until `seconds` have gone by (or `max_steps`), over calls: state is kept in `path` and a later call goes on from there.

    phases: [(share of the budget at which it ends, step)]; modules: {name: module}, what is trained; batch_sizes: samples a step of each phase.
    Compiling and recording do not count against the budget. -> history [(step, seconds, loss)], samples a phase.
    """
    cuda = next(iter(modules.values())).parameters().__next__().is_cuda
    steps, spent, samples, history = 0, 0.0, [0] * len(phases), []
    if os.path.exists(path):
        state = torch.load(path, map_location='cuda' if cuda else 'cpu', weights_only=True)
        for k, m in modules.items():
            m.load_state_dict(state['modules'][k])
        optimisers.load_state_dict(state['optimisers'])
        steps, spent, samples, history = state['steps'], state['spent'], state['samples'], state['history']
        print('%s: resumed at step %d, %.0f s' % (name, steps, spent), flush=True)

    def save():
        state = dict(
            modules={k: m.state_dict() for k, m in modules.items()},
            optimisers=optimisers.state_dict(),
            steps=steps,
            spent=spent,
            samples=samples,
            history=history,
        )
        torch.save(state, path + '.part')
        os.replace(path + '.part', path)

    captured = [Captured(step, cuda) for _, step in phases]
    clock, saved, mark, losses = time.time(), spent, (steps, spent), []
    with sdpa_kernel(ATTENTION, set_priority=True):
        while True:
            progress = max(spent / seconds, steps / max_steps)
            if progress >= 1:
                break
            k = next((i for i, (end, _) in enumerate(phases) if progress < end), len(phases) - 1)
            optimisers.scale(rate(progress, steps, hold))
            recording = captured[k].calls < 5
            for _ in range(1 if recording else min(SYNC, max_steps - steps)):
                loss = captured[k]()
                steps, samples[k] = steps + 1, samples[k] + batch_sizes[k]
            losses.append(loss.item())  # waits for the device
            now = time.time()
            spent, clock = spent + (0 if recording and cuda else now - clock), now
            if steps - mark[0] >= 200 or steps >= max_steps:
                pace = (steps - mark[0]) * batch_sizes[k] / max(spent - mark[1], 1e-6)
                history.append((steps, round(spent, 1), round(sum(losses) / len(losses), 4)))
                print(
                    '%s: step %d, %.0f s, phase %d, loss %.4f, %.0f samples/s' % (name, steps, spent, k, history[-1][2], pace), flush=True
                )
                mark, losses = (steps, spent), []
            if spent - saved > save_every:
                save()
                saved, clock = spent, time.time()
    save()
    return history, samples
