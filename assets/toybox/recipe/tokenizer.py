"""The vocabulary: one piece a word of the caption grammar, single characters for everything else.

Hand-built, because a trained Unigram splits 'red' and 'blue' into letters when the whole lexicon has a few hundred words. A resumed
model keeps the ids it knows (`keep`), and new words go behind them; their embedding starts as that of a word of like meaning.
"""

import collections
import json
import math
import random
import string

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from .captions import clean_caption
from .scene import SEEDS, scene_of

SPECIAL = ['<pad>', '</s>', '<s>', '<unk>']
# new word -> a word of an older vocabulary that means about the same
LIKE = {
    'orb': 'ball',
    'globe': 'ball',
    'marble': 'ball',
    'crate': 'box',
    'dice': 'cube',
    'tube': 'cylinder',
    'barrel': 'can',
    'pillar': 'cylinder',
    'doughnut': 'donut',
    'hoop': 'ring',
    'pyramid': 'cone',
    'scarlet': 'red',
    'tangerine': 'orange',
    'golden': 'yellow',
    'emerald': 'green',
    'navy': 'blue',
    'rose': 'pink',
    'ivory': 'white',
    'giant': 'huge',
    'polished': 'shiny',
    'dull': 'matte',
    'wooden': 'brown',
    'grassy': 'green',
    'during': 'in',
    'sun': 'sunny',
    'dusk': 'sunset',
    'midnight': 'night',
    'black': 'dark',
    'fog': 'foggy',
    'overcast': 'cloudy',
    'goes': 'moves',
    'going': 'moving',
    'travels': 'moves',
    'travelling': 'moving',
    'jumps': 'bounces',
    'jumping': 'bouncing',
    'turns': 'rotates',
    'turning': 'rotating',
    'becomes': 'gets',
    'becoming': 'getting',
    'circles': 'orbits',
    'circling': 'orbiting',
    'flies': 'floats',
    'flying': 'floating',
    'drops': 'falls',
    'dropping': 'falling',
    'towards': 'toward',
    'near': 'beside',
    'passing': 'past',
    'table': 'floor',
    'tiled': 'checkered',
    'zooming': 'zoom',
    'day': 'daylight',
    'sets': 'sunset',
    'shines': 'sunny',
    'stand': 'stands',
    'standing': 'resting',
    'balls': 'ball',
    'cubes': 'cube',
    'rings': 'ring',
    'cones': 'cone',
    'cylinders': 'cylinder',
    'rising': 'floating',
    'rises': 'floats',
    'evening': 'sunset',
    'pan': 'pans',
    'black-and-white': 'checkered',
    'it': 'the',
    'one': 'a',
    'there': 'a',
    'and': 'with',
}


def build(path, samples=20_000, keep=None):
    """Writes tokenizer.json. keep: an older tokenizer.json whose ids stay."""
    counts = collections.Counter()
    for i in range(samples):
        scene, rng = scene_of(SEEDS['text'] + i)
        counts.update(w.strip('.,;').lower() for w in clean_caption(scene, random.Random(i)).split())
    total = sum(counts.values())
    score = lambda w: max(-9.0, math.log(max(counts[w], 1) / total))
    vocab = [tuple(p) for p in json.load(open(keep))['model']['vocab']] if keep else [(s, 0.0) for s in SPECIAL]
    known = {p for p, _ in vocab}
    fresh = [('▁' + w, score(w)) for w, _ in counts.most_common()]
    fresh += [(',', -3.0), ('.', -4.0), (';', -5.0), ('▁', -11.0)] + [
        (c, -12.0) for c in string.ascii_lowercase + string.digits + ';:!?\'"()-/&'
    ]
    for piece, value in fresh:
        if piece not in known:
            known.add(piece)
            vocab.append((piece, value))
    tok = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=False))
    tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement='▁', prepend_scheme='always')
    tok.decoder = decoders.Metaspace(replacement='▁', prepend_scheme='always')
    tok.add_special_tokens(SPECIAL)
    tok.post_processor = processors.TemplateProcessing(single='$A </s>', special_tokens=[('</s>', 1)])
    tok.save(path)
    return tok


def grow_embedding(weight, path, old_path):
    """An embedding [old, d] for the larger vocabulary of `path`: old rows as they are, new rows from `LIKE`, else the mean row."""
    new = [p for p, _ in json.load(open(path))['model']['vocab']]
    old = {p: i for i, (p, _) in enumerate(json.load(open(old_path))['model']['vocab'])}
    mean = weight[4:].mean(0)
    out = weight.new_empty(len(new), weight.shape[1])
    for i, piece in enumerate(new):
        source = piece if piece in old else '▁' + LIKE.get(piece.lstrip('▁'), '')
        out[i] = weight[old[source]] if source in old else mean
    return out
