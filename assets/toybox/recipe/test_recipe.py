"""`python -m unittest recipe.test_recipe`: the fast forms equal the libraries' own, and every stage runs, at toy size, on a CPU."""

import os
import random
import subprocess
import sys
import tempfile
import unittest

import torch

from . import checkpoint, dit_fast, train_vae, vae_fast
from .captions import caption
from .corpus import TEXT_ROWS, example
from .render import render
from .scene import HELD_PAIRS, scene_of


class Equalities(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)

    def assert_close(self, a, b, tolerance=2e-4):
        self.assertEqual(a.shape, b.shape)
        self.assertLess((a - b).norm().item() / b.norm().item(), tolerance)

    @torch.no_grad()
    def test_vae_without_a_cache(self):
        vae = train_vae.new_vae().eval()
        pictures = torch.randint(0, 256, (1, 9, 32, 32, 3), dtype=torch.uint8)
        latent = vae.encode(pictures.permute(0, 4, 1, 2, 3).float() / 127.5 - 1).latent_dist.mean
        self.assert_close(vae_fast.encode(vae, vae_fast.prepare(pictures)), latent)
        self.assert_close(vae_fast.decode(vae, latent).clamp(-1, 1), vae.decode(latent).sample)

    @torch.no_grad()
    def test_text_encoder_written_out(self):
        te = dit_fast.new_text_encoder(50).eval()
        ids = torch.randint(4, 50, (2, TEXT_ROWS))
        ids[0, 20:] = 0
        theirs = te(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state * (ids != 0).unsqueeze(-1)
        self.assert_close(dit_fast.encode_text(te, ids)[:, :-1], theirs)

    @torch.no_grad()
    def test_one_row_for_all_the_padding(self):
        dit = dit_fast.new_dit(2, 2).eval()
        torch.nn.init.normal_(dit.proj_out.weight, std=0.1)
        text = torch.randn(2, 10, 192)
        x = dict(hidden_states=torch.randn(2, 16, 2, 8, 8), timestep=torch.tensor([300.0, 800.0]), return_dict=False)
        theirs = dit(encoder_hidden_states=torch.nn.functional.pad(text, (0, 0, 0, dit_fast.PIPELINE_ROWS - 10)), **x)[0]
        dit_fast.set_attention(dit, fast=True)
        ours = dit(encoder_hidden_states=torch.nn.functional.pad(text, (0, 0, 0, 1)), **x)[0]
        self.assert_close(ours, theirs)


class Data(unittest.TestCase):
    def test_held_pairs_stay_out(self):
        for seed in range(3000):
            self.assertFalse(any(t.pair in HELD_PAIRS for t in scene_of(seed)[0].things))
        self.assertIn(scene_of(1, 'held')[0].things[0].pair, HELD_PAIRS)

    def test_a_seed_is_a_clip(self):
        a, b = example(5, 2), example(5, 2)
        self.assertTrue((a[1] == b[1]).all() and a[3] == b[3])

    def test_full_captions_name_every_colour(self):
        for seed in range(300):
            scene, _ = scene_of(seed, twins=False)
            text = caption(scene, random.Random(seed), full=True)
            self.assertGreater(len(text.split()), 4)

    def test_picture(self):
        clip, frames, _, _ = example(3)
        picture = render(torch.tensor(clip[None]), torch.tensor(frames[None]), size=64, full=64)
        self.assertEqual(tuple(picture.shape), (1, 33, 64, 64, 3))
        self.assertGreater(picture.float().std().item(), 5)


class Stages(unittest.TestCase):
    def test_from_nothing_and_on_from_a_checkpoint(self):
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        with tempfile.TemporaryDirectory() as out:
            for name, extra in (('first', []), ('second', ['--from', os.path.join(out, 'first', 'checkpoint'), '--no-evaluation'])):
                command = [
                    sys.executable,
                    '-W',
                    'ignore',
                    '-m',
                    'recipe.train',
                    '--toy',
                    '--workers',
                    '1',
                    '--out',
                    os.path.join(out, name),
                    *extra,
                ]
                subprocess.run(command, check=True, cwd=root, stdout=subprocess.DEVNULL)
            self.assertTrue(os.path.exists(os.path.join(out, 'first', 'evaluation', 'figures.json')))
            words = [len(checkpoint.load_tokenizer(os.path.join(out, n, 'checkpoint'))[0].get_vocab()) for n in ('first', 'second')]
            self.assertGreaterEqual(words[1], words[0])


if __name__ == '__main__':
    unittest.main()
