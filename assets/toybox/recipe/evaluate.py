"""Figures of a checkpoint: `python -m recipe.evaluate CHECKPOINT --out DIR` prints a table and writes figures.json and contact sheets.

Everything is on seeds that no training used. A classifier is trained on renders first (or read from DIR); what it reaches on held-out
renders is the ceiling beside each figure. Clips come from diffusers' WanPipeline on the checkpoint as it is on disk. About three minutes
on a GPU, two of them for the classifier. On a CPU it takes hours; --captions, --held and --steps make it smaller, and a second call goes
on where the first stopped.
"""

import argparse
import json
import os
import time

import numpy as np
import torch

from . import checkpoint, classifier, dit_fast, train_vae, vae_fast
from .corpus import TEXT_ROWS, corpus, example, token_rows
from .loop import ATTENTION
from .scene import SEEDS
from .sheet import save_sheet
from .tracks import FRAMES

TARGETS = {
    'vae psnr mean': 35.0,
    'vae psnr worst': 31.0,
    'object shape': 0.92,
    'object colour': 0.94,
    'floor': 0.95,
    'sky': 0.95,
    'camera': 0.80,
    'motion': 0.75,
    'both objects of two': 0.70,
    'pairs never trained': 0.80,
}
SHOWN = 24  # clips on a contact sheet
EMPTY = torch.tensor([[1] + [0] * (TEXT_ROWS - 1)])  # the empty prompt: a lone </s>


class Sizes:
    """How much of everything; `toy` only proves that the parts fit together."""

    def __init__(self, toy=False):
        self.full, self.length = (64, FRAMES) if toy else (256, FRAMES)
        self.renders, self.coded, self.steps, self.batch = (12, 4, 3, 4) if toy else (20_480, 3_072, 1_500, 128)
        self.checked, self.psnr = (8, 4) if toy else (512, 32)
        self.captions, self.held, self.inference, self.group = (2, 1, 2, 2) if toy else (320, 128, 25, 64)


def tensors(arrays, device):
    return tuple(torch.tensor(a, device=device) for a in arrays)


def prepare(sizes, judge, workers):
    """Every scene that the evaluation needs. Worker processes are forked: call this before the process first touches the GPU."""
    make = lambda n, seed: corpus(n, seed, pairs='any', twins=False, workers=workers)
    asked = lambda n, seed, pairs: [example(seed + i, 1, pairs, full=True, twins=False) for i in range(n)]
    scenes = dict(
        psnr=make(sizes.psnr, SEEDS['vae_eval']),
        checked=make(sizes.checked, SEEDS['classifier_eval']),
        generated=asked(sizes.captions, SEEDS['eval'], 'train'),
        held=asked(sizes.held, SEEDS['eval_held'], 'held'),
    )
    if not os.path.exists(judge):
        scenes.update(plain=make(sizes.renders, SEEDS['classifier']), coded=make(sizes.coded, SEEDS['classifier'] + 10_000_000))
    return scenes


def get_classifier(path, vae, scenes, sizes, device):
    """Reads the classifier of `path`, or trains it there."""
    model = classifier.Classifier(side=sizes.full // 2).to(device)
    if os.path.exists(path):
        model.load_state_dict(torch.load(path, map_location=device, weights_only=True))
        return model.eval()
    started = time.time()
    plain, coded = scenes['plain'], scenes['coded']
    soft = classifier.pool(coded[0], coded[1], device, sizes.full, vae)
    repeats = max(1, len(plain[0]) // (3 * len(soft)))  # a quarter of what it sees has been coded
    clips = torch.cat([classifier.pool(plain[0], plain[1], device, sizes.full), *[soft] * repeats])
    labels = torch.tensor(np.concatenate([plain[2], *[coded[2]] * repeats]), device=device)
    print('classifier: %d clips at %.0f s' % (len(clips), time.time() - started), flush=True)
    classifier.train(model, clips, labels, sizes.steps, sizes.batch)
    torch.save(model.state_dict(), path)
    print('classifier: trained in %.0f s' % (time.time() - started), flush=True)
    return model


def generate(pipe, ids, sizes, seeds, guidance=4.0):
    """Token ids [n, rows] and as many noise seeds -> normalised latents, as WanPipeline makes them. The pipeline's padding to 512 text rows is
    folded into one row (`dit_fast`): the same function, and much less work on a CPU."""
    text = [dit_fast.encode_text(pipe.text_encoder, i) for i in (ids, EMPTY.expand(len(ids), -1).to(ids.device))]
    with torch.no_grad(), torch.nn.attention.sdpa_kernel(ATTENTION, set_priority=True):
        return pipe(
            prompt_embeds=text[0].detach(),
            negative_prompt_embeds=text[1].detach(),
            height=sizes.full,
            width=sizes.full,
            num_frames=FRAMES,
            num_inference_steps=sizes.inference,
            guidance_scale=guidance,
            generator=[torch.Generator('cpu').manual_seed(s) for s in seeds],
            output_type='latent',
        ).frames


def ask(pipe, tokenizer, vae, model, rows, sizes, first_seed, path):
    """Generates a clip for each row's caption and lets the classifier look at it. Progress is kept in `path`, so that a slow machine may be
    interrupted. -> answers, and every fourth frame of the first clips for a contact sheet."""
    state = torch.load(path, weights_only=True) if os.path.exists(path) else dict(answers=[], frames=[])
    done = sum(len(a['count']) for a in state['answers'])
    for i in range(done, len(rows), sizes.group):
        prompts = [r[3][0] for r in rows[i : i + sizes.group]]
        ids = torch.tensor(token_rows(prompts, tokenizer), device=pipe.device).long()
        latents = generate(pipe, ids, sizes, range(first_seed + i, first_seed + i + len(prompts)))
        clips = [vae_fast.to_clips(vae, latents[k : k + 8]) for k in range(0, len(latents), 8)]
        answers = classifier.answers(model, torch.cat([classifier.shrink(c) for c in clips]))
        state['answers'].append({k: v.cpu() for k, v in answers.items()})
        if i < SHOWN:
            state['frames'].append(torch.cat(clips)[: SHOWN - i, ::4].cpu())
        torch.save(state, path)
        print('%d of %d clips' % (min(i + sizes.group, len(rows)), len(rows)), flush=True)
    return {k: torch.cat([a[k] for a in state['answers']]) for k in state['answers'][0]}, torch.cat(state['frames'])


def evaluate(path, out, scenes, judge, sizes):
    """scenes: from `prepare`; judge: file of the classifier. -> the figures as a dictionary; also written to out/figures.json."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    os.makedirs(out, exist_ok=True)
    vae = checkpoint.load_vae(path, device)
    figures, started = {}, time.time()
    values, pair = train_vae.psnr(vae, tensors(scenes['psnr'][:2], device), sizes.full)
    figures['vae psnr mean'], figures['vae psnr worst'] = [round(v, 2) for v in train_vae.mean_and_worst(values)]
    save_sheet(torch.stack(pair, 1).flatten(0, 1), os.path.join(out, 'vae.png'))
    print('vae: %.2f dB, worst %.2f' % (figures['vae psnr mean'], figures['vae psnr worst']), flush=True)

    model = get_classifier(judge, vae, scenes, sizes, device)
    real = scenes['checked']
    labels = torch.tensor(real[2])
    figures['ceiling'] = classifier.scores(classifier.answers(model, classifier.pool(real[0], real[1], device, sizes.full)), labels)
    figures['ceiling through vae'] = classifier.scores(
        classifier.answers(model, classifier.pool(real[0], real[1], device, sizes.full, vae, noise=0.0)), labels
    )
    print('ceilings at %.0f s' % (time.time() - started), flush=True)

    pipe = checkpoint.load_pipeline(path, device)
    dit_fast.set_attention(pipe.transformer, fast=True)
    words, _ = checkpoint.load_tokenizer(path)
    for name, rows, seed in (('generated', scenes['generated'], 0), ('held', scenes['held'], 10_000)):
        answers, frames = ask(pipe, words, vae, model, rows, sizes, seed, os.path.join(out, name + '.pt'))
        figures[name] = classifier.scores(answers, torch.tensor([r[2] for r in rows]))
        save_sheet(frames, os.path.join(out, name + '.png'), side=128)
        with open(os.path.join(out, name + '.txt'), 'w') as f:
            f.write('\n'.join(r[3][0] for r in rows) + '\n')
    figures['pairs never trained'] = figures['held']['first object shape and colour'][0]
    figures['seconds'] = round(time.time() - started)
    with open(os.path.join(out, 'figures.json'), 'w') as f:
        json.dump(figures, f, indent=1)
    print(table(figures), flush=True)
    return figures


def table(figures):
    """Figure, ceilings and target, one line each."""
    lines = ['%-32s %9s %9s %9s %8s' % ('', 'generated', 'real', 'real+vae', 'target')]
    percent = lambda v: '%.1f %%' % (100 * v)
    for name, (share, n) in figures['generated'].items():
        target = percent(TARGETS[name]) if name in TARGETS else ''
        lines.append(
            '%-32s %9s %9s %9s %8s  (n = %d)'
            % (name, percent(share), percent(figures['ceiling'][name][0]), percent(figures['ceiling through vae'][name][0]), target, n)
        )
    held, n = figures['held']['first object shape and colour']
    lines.append(
        '%-32s %9s %9s %9s %8s  (n = %d)'
        % (
            'pairs never trained',
            percent(held),
            percent(figures['ceiling']['first object shape and colour'][0]),
            percent(figures['ceiling through vae']['first object shape and colour'][0]),
            percent(TARGETS['pairs never trained']),
            n,
        )
    )
    lines.append(
        'VAE PSNR %.2f dB (target %.0f), worst clip %.2f (target %.0f)'
        % (figures['vae psnr mean'], TARGETS['vae psnr mean'], figures['vae psnr worst'], TARGETS['vae psnr worst'])
    )
    return '\n'.join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('checkpoint')
    p.add_argument('--out', required=True)
    p.add_argument('--classifier', help='a trained classifier to read, or where to write it (DIR/classifier.pt)')
    for name in ('captions', 'held', 'steps'):
        p.add_argument('--' + name, type=int)
    p.add_argument('--workers', type=int, default=max(1, (os.cpu_count() or 1) - 1))
    p.add_argument('--toy', action='store_true', help='tiny sizes, only to see that it runs')
    a = p.parse_args()
    sizes = Sizes(a.toy)
    sizes.captions, sizes.held, sizes.inference = a.captions or sizes.captions, a.held or sizes.held, a.steps or sizes.inference
    if not torch.cuda.is_available():
        sizes.group = 1
    judge = a.classifier or os.path.join(a.out, 'classifier.pt')
    evaluate(a.checkpoint, a.out, prepare(sizes, judge, a.workers), judge, sizes)


if __name__ == '__main__':
    main()
