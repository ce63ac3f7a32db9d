"""Muon for matrices and convolutions beside AdamW for the rest, with learning rates that a captured CUDA graph can follow."""

import torch


def orthogonalise(g, steps=5):
    """Newton-Schulz iteration on a batch of matrices [n, r, c]: singular values go to about 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = g.size(-2) > g.size(-1)
    x = g.mT if tall else g
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Parameters of one shape are updated as one batch; kernels are taken as [out, rest]. An update's RMS matches AdamW's."""

    def __init__(self, params, lr, momentum=0.95, decay=0.0):
        super().__init__(list(params), dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group['params']:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
            for shape, ps in shapes.items():
                grad = torch.stack([p.grad for p in ps]).float().reshape(len(ps), shape[0], -1)
                state = self.state[ps[0]]
                if 'momentum' not in state:
                    state['momentum'] = torch.zeros_like(grad)
                m, k = state['momentum'], group['momentum']
                m.mul_(k).add_(grad, alpha=1 - k)
                update = grad.mul(1 - k).add_(m, alpha=k)
                update = orthogonalise(update.bfloat16() if update.is_cuda else update).float()
                update = (update * (0.2 * max(update.shape[-2:]) ** 0.5 * group['lr'])).reshape(len(ps), *shape)
                if group['decay']:
                    torch._foreach_mul_(ps, 1 - group['lr'] * group['decay'])
                torch._foreach_sub_(ps, list(update.unbind(0)))


class Optimisers:
    """Several optimisers as one. Each group's rate is a tensor on the device: `scale(f)` sets it to f times its base rate."""

    def __init__(self, device, *optimisers):
        self.all = optimisers
        self.groups = [g for o in optimisers for g in o.param_groups]
        for g in self.groups:
            g['base'] = float(g['lr'])
            g['lr'] = torch.tensor(g['base'], device=device)

    def scale(self, f):
        for g in self.groups:
            g['lr'].fill_(g['base'] * f)

    def step(self):
        for o in self.all:
            o.step()

    def zero_grad(self):
        for o in self.all:
            o.zero_grad(set_to_none=True)

    def state_dict(self):
        return [o.state_dict()['state'] for o in self.all]

    def load_state_dict(self, states):
        for o, state in zip(self.all, states):
            o.load_state_dict({'state': state, 'param_groups': o.state_dict()['param_groups']})
        self.groups = [g for o in self.all for g in o.param_groups]


def adamw(params, lr, device, betas=(0.9, 0.98), decay=0.0):
    cuda = torch.device(device).type == 'cuda'
    return torch.optim.AdamW(params, lr=lr, betas=betas, weight_decay=decay, fused=cuda, capturable=cuda)
