"""Many scenes at once, made by worker processes: tracks, labels and token ids as arrays."""

import multiprocessing
import random

import numpy as np
from tokenizers import Tokenizer

from .captions import caption
from .scene import labels, scene_of
from .tracks import tracks

TEXT_ROWS = 63  # longest caption in training, in tokens with the closing </s>; longer ones are cut
_tokenizer = None


def example(seed, captions=1, pairs='train', full=False, twins=True):
    """One seed -> (clip row, frame rows, labels, [captions]). Every second caption says everything even without `full`: people check
    what they asked for, and rare words for the sky or the floor are learnt only where they are said."""
    scene, rng = scene_of(seed, pairs, twins)
    clip, frames = tracks(scene, rng)
    words = random.Random(seed * 7 + 1)
    return clip, frames, labels(scene), [caption(scene, words, full or i % 2 == 1) for i in range(captions)]


def token_rows(texts, tokenizer, rows=TEXT_ROWS):
    """Captions -> int16 [n, rows], 0 behind the end."""
    ids = np.zeros((len(texts), rows), np.int16)
    for i, text in enumerate(texts):
        t = tokenizer.encode(text).ids
        t = t if len(t) <= rows else t[: rows - 1] + [1]
        ids[i, : len(t)] = t
    return ids


def _part(job):
    global _tokenizer
    seed, n, captions, path, pairs, twins = job
    if captions and _tokenizer is None:
        _tokenizer = Tokenizer.from_file(path)
    rows = [example(seed + i, captions, pairs, twins=twins) for i in range(n)]
    ids = np.stack([token_rows(r[3], _tokenizer) for r in rows]) if captions else np.zeros((n, 0, 0), np.int16)
    return np.stack([r[0] for r in rows]), np.stack([r[1] for r in rows]), np.array([r[2] for r in rows], np.int64), ids


def corpus(n, seed, captions=0, tokenizer_path=None, pairs='train', twins=True, workers=1):
    """-> clip [n, 64], frames [n, 33, 48], labels [n, 13] and token ids [n, captions, TEXT_ROWS].

    Workers are forked: call this before the process first touches the GPU.
    """
    jobs = [(seed + i, min(64, n - i), captions, tokenizer_path, pairs, twins) for i in range(0, n, 64)]
    if workers > 1:
        with multiprocessing.get_context('fork').Pool(workers) as pool:
            parts = pool.map(_part, jobs, chunksize=2)
    else:
        parts = [_part(j) for j in jobs]
    return [np.concatenate([p[k] for p in parts]) for k in range(4)]
