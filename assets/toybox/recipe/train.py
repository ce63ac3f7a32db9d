"""The whole recipe, one command: `python -m recipe.train --out DIR` makes the checkpoint in DIR/checkpoint from nothing on one GPU.

Stages: text encoder, VAE, encoding of the corpora, transformer, saving, evaluation. Each leaves its state in DIR, and the same command goes on where it
stopped. `--from CHECKPOINT` starts from an older checkpoint's weights (and keeps its token ids) instead of from nothing.
"""

import argparse
import json
import os
import sys
import time

import torch

from . import checkpoint, evaluate, focus, tokenizer, train_dit, train_text, train_vae
from .corpus import corpus
from .dit_fast import new_dit, new_text_encoder
from .evaluate import Sizes
from .scene import SEEDS


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--out', required=True)
    p.add_argument('--from', dest='source', help='checkpoint folder to start from')
    p.add_argument('--text-steps', type=int, help='default 800, or 300 with --from')
    p.add_argument('--vae-seconds', type=float, default=300)
    p.add_argument('--dit-seconds', type=float, default=1500)
    p.add_argument('--videos', type=int, default=28_672)
    p.add_argument('--images', type=int, help='single frames for the first part of the transformer; default 16,384, or none with --from')
    p.add_argument('--captions', type=int, default=6, help='captions a clip')
    p.add_argument('--batch', type=int, default=48)
    p.add_argument('--rate', type=float, default=5e-3, help="the transformer's learning rate")
    p.add_argument(
        '--hold', type=float, default=0.4, help='share of its time that the transformer trains at the full rate, before that falls to 0'
    )
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--classifier', help='a trained classifier for the evaluation')
    p.add_argument('--no-evaluation', action='store_true')
    p.add_argument('--workers', type=int, default=max(1, (os.cpu_count() or 1) - 1))
    p.add_argument('--toy', action='store_true', help='everything tiny: a few steps a stage, to see that it runs on a CPU')
    a = p.parse_args()
    if a.text_steps is None:
        a.text_steps = 300 if a.source else 800
    if a.images is None:
        a.images = 0 if a.source else 16_384
    return a


def tokens(a):
    """Path of the vocabulary, made once."""
    path = os.path.join(a.out, 'tokenizer.json')
    if not os.path.exists(path):
        tokenizer.build(path, 400 if a.toy else 20_000, checkpoint.load_tokenizer(a.source)[1] if a.source else None)
    return path


def text_encoder(a, words, device):
    """The encoder at the start of the transformer's training: read back, or made and taught here."""
    size = len(json.load(open(words))['model']['vocab'])
    te, path = new_text_encoder(size), os.path.join(a.out, 'text.pt')
    if os.path.exists(path):
        te.load_state_dict(torch.load(path, weights_only=True))
        return te.to(device)
    if a.source:
        state = checkpoint.load_text_encoder(a.source, 'cpu').state_dict()
        grown = tokenizer.grow_embedding(state['shared.weight'], words, checkpoint.load_tokenizer(a.source)[1])
        te.load_state_dict({k: grown if v.shape[0] == len(state['shared.weight']) else v for k, v in state.items()})
    te.to(device)
    _, _, labels, ids = a.text_corpus
    train_text.train(
        te,
        torch.tensor(ids, device=device).long(),
        torch.tensor(labels, device=device),
        steps=2 if a.toy else a.text_steps,
        rate=1e-4 if a.source else 1e-3,
        frozen=a.text_steps // 3 if a.source else 0,
        batch=4 if a.toy else 128,
    )
    torch.save(te.state_dict(), path)
    return te


def video_coder(a, device):
    path, done = os.path.join(a.out, 'vae.pt'), os.path.join(a.out, 'vae')
    if os.path.exists(done):
        return checkpoint.load_vae(a.out, device)
    vae = (checkpoint.load_vae(a.source, 'cpu') if a.source else train_vae.new_vae()).to(device)
    tracks = evaluate.tensors(a.vae_corpus[:2], device)
    extra = dict(full=32, window=32, length=5, batch=2, batch_full=1, max_steps=3) if a.toy else {}
    train_vae.train(vae, tracks, a.vae_seconds, path, **extra)
    train_vae.finish(vae, tracks, full=32 if a.toy else 256, n=8 if a.toy else 64)
    vae.save_pretrained(done)
    return vae


def main():
    started, a = time.time(), arguments()
    os.makedirs(a.out, exist_ok=True)
    say = lambda text: print('[%.0f s] %s' % (time.time() - started, text), flush=True)
    words = tokens(a)
    few = lambda n, toy: toy if a.toy else n
    # workers are forked here, before the GPU is touched
    a.text_corpus = (
        corpus(few(20_480, 16), SEEDS['text'] + a.seed, 4, words, workers=a.workers)
        if not os.path.exists(os.path.join(a.out, 'text.pt'))
        else None
    )
    a.vae_corpus = corpus(few(8_192, 8), SEEDS['vae'] + a.seed, workers=a.workers)
    video = corpus(few(a.videos, 4), SEEDS['video'] + a.seed, a.captions, words, workers=a.workers)
    image = corpus(few(a.images, 8), SEEDS['image'] + a.seed, a.captions, words, workers=a.workers) if a.images else None
    judge = a.classifier or os.path.join(a.out, 'classifier.pt')
    scenes = None if a.no_evaluation else evaluate.prepare(Sizes(a.toy), judge, a.workers)
    say('corpora made')

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.manual_seed(a.seed)
    if device == 'cuda':
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        say(torch.cuda.get_device_name())
    te = text_encoder(a, words, device)
    say('text encoder ready')
    vae = video_coder(a, device)
    say('VAE ready')

    side = 64 if a.toy else 256
    encoded = lambda c, **extra: (train_dit.encode_corpus(vae, c[0], c[1], device, side, **extra), torch.tensor(c[3], device=device))
    videos = *encoded(video), focus.focus(*evaluate.tensors(video[:2], device), side // 8)
    images = encoded(image, image=True, batch=64) if a.images else None
    say(
        '%d videos and %d frames encoded, deviation %.3f'
        % (len(videos[0]), len(images[0]) if images else 0, videos[0][:256].float().std().item())
    )

    torch.manual_seed(a.seed + 1)
    dit = (checkpoint.load_dit(a.source, 'cpu') if a.source else new_dit(*((2, 2) if a.toy else ()))).to(device)
    history, samples = train_dit.train(
        dit,
        te,
        videos,
        images,
        a.dit_seconds,
        os.path.join(a.out, 'dit.pt'),
        image_share=0.1 if a.images else 0.0,
        rate=a.rate,
        hold=a.hold,
        **(dict(batch=2, batch_image=2, max_steps=4) if a.toy else dict(batch=a.batch)),
    )
    target = os.path.join(a.out, 'checkpoint')
    checkpoint.save(target, dit, te, vae, words)
    with open(os.path.join(a.out, 'history.json'), 'w') as f:
        json.dump(
            dict(
                arguments={k: v for k, v in vars(a).items() if 'corpus' not in k}, dit=history, samples=samples, command=' '.join(sys.argv)
            ),
            f,
            indent=1,
        )
    say('saved %s' % target)
    if not a.no_evaluation:
        del videos, images
        evaluate.evaluate(target, os.path.join(a.out, 'evaluation'), scenes, judge, Sizes(a.toy))
        say('evaluated')
    open(os.path.join(a.out, 'done'), 'w').close()


if __name__ == '__main__':
    main()
