"""What a toy scene is: its attributes, how they are drawn, and how they become labels.

A scene is one or two objects on a floor under a sky, one motion (always of the first object) and one
camera move. Everything else (captions, tracks, pictures, evaluation) is derived from a `Scene`.
"""

import random
from dataclasses import dataclass

SHAPES = ['ball', 'cube', 'cylinder', 'ring', 'cone']
COLORS = {
    'red': (0.75, 0.03, 0.03),
    'orange': (0.95, 0.30, 0.02),
    'yellow': (0.92, 0.70, 0.03),
    'green': (0.05, 0.45, 0.07),
    'blue': (0.03, 0.12, 0.72),
    'purple': (0.26, 0.04, 0.50),
    'pink': (0.92, 0.28, 0.46),
    'white': (0.86, 0.86, 0.85),
}
COLOR_NAMES = list(COLORS)
FLOORS = {
    'gray': (0.30, 0.30, 0.32),
    'blue': (0.05, 0.14, 0.42),
    'green': (0.10, 0.32, 0.10),
    'brown': (0.28, 0.14, 0.06),
    'red': (0.42, 0.06, 0.05),
    'white': (0.72, 0.72, 0.72),
}
FLOOR_NAMES = list(FLOORS)
# sky name -> (zenith colour, horizon colour, strength of the sun, strength of the ambient light)
SKIES = {
    'day': ((0.16, 0.38, 0.80), (0.62, 0.76, 0.90), 1.0, 0.34),
    'sunset': ((0.22, 0.10, 0.32), (0.98, 0.42, 0.14), 0.9, 0.30),
    'night': ((0.008, 0.012, 0.05), (0.035, 0.05, 0.13), 0.42, 0.20),
    'gray': ((0.42, 0.45, 0.50), (0.66, 0.68, 0.70), 0.62, 0.46),
}
SKY_NAMES = list(SKIES)
SIZES = {'small': 0.70, 'medium': 1.0, 'large': 1.32}
SIZE_NAMES = list(SIZES)
MOTIONS = ['still', 'right', 'left', 'bounce', 'spin', 'grow', 'shrink', 'toward', 'away', 'orbit', 'fall', 'rise']
CAMERAS = ['static', 'pan_left', 'pan_right', 'orbit', 'zoom_in', 'zoom_out']

# Colour-shape pairs that no training clip ever shows: what the model does with them is composition, not recall.
HELD_PAIRS = frozenset({('purple', 'cone'), ('yellow', 'ring'), ('green', 'cylinder'), ('pink', 'cube'), ('white', 'ball')})

# First seed of each use. The ranges are far apart, so no clip of one use can appear in another.
SEEDS = {
    'vae_eval': 110_000_000,
    'vae': 120_000_000,
    'video': 130_000_000,
    'image': 140_000_000,
    'classifier': 150_000_000,
    'text': 160_000_000,
    'classifier_eval': 180_000_000,
    'eval': 190_000_000,
    'eval_held': 191_000_000,
}

# Chances of the motions with one object and with two; with two, `right`, `left` and `orbit` make them cross.
MOTION_WEIGHTS = {
    1: dict(still=1.5, right=2.4, left=2.4, bounce=2.2, spin=1.7, grow=1, shrink=1, toward=1.3, away=1, orbit=0, fall=1.4, rise=1.3),
    2: dict(
        still=1.7, right=2.6, left=2.6, bounce=1.7, spin=1.1, grow=0.7, shrink=0.7, toward=0.9, away=0.8, orbit=3.2, fall=1.2, rise=1.1
    ),
}


@dataclass
class Thing:
    """One object."""

    shape: str
    color: str
    size: str
    shiny: bool
    striped: bool

    @property
    def pair(self):
        """(colour, shape), what a prompt identifies an object by."""
        return self.color, self.shape


@dataclass
class Scene:
    """One clip. `side` is -1 where the first object stands on the left of the second, else 1."""

    things: list
    motion: str
    camera: str
    floor: str
    checker: bool
    sky: str
    side: int


def sample_thing(rng, pairs):
    while True:
        shape = rng.choice(SHAPES)
        sizes = (2.5, 3.5, 4) if shape == 'cube' else (3, 4, 3)
        thing = Thing(shape, rng.choice(COLOR_NAMES), rng.choices(SIZE_NAMES, sizes)[0], rng.random() < 0.5, rng.random() < 0.16)
        if pairs != 'train' or thing.pair not in HELD_PAIRS:
            return thing


def sample_scene(rng, pairs='train', twins=True):
    """Draws a scene. pairs: 'train' never shows a held-out pair, 'any' may, 'held' has one as its first object.
    twins: whether two objects may share colour and shape ("two red balls")."""
    things = [sample_thing(rng, pairs) for _ in range(1 if rng.random() < 0.45 else 2)]
    if pairs == 'held':
        things[0].color, things[0].shape = rng.choice(sorted(HELD_PAIRS))
    if len(things) == 2:
        if twins and rng.random() < 0.03:
            things[1].color, things[1].shape = things[0].pair
        else:
            while things[1].pair == things[0].pair:
                things[1] = sample_thing(rng, pairs)
    weights = dict(MOTION_WEIGHTS[len(things)])
    if things[0].shape in ('ball', 'cylinder', 'cone') and not things[0].striped:
        weights['spin'] = 0  # nobody could see it: they look the same from every side
    return Scene(
        things,
        rng.choices(MOTIONS, [weights[m] for m in MOTIONS])[0],
        rng.choices(CAMERAS, [4.4, 1.1, 1.1, 1.5, 1.1, 1.1])[0],
        rng.choice(FLOOR_NAMES),
        rng.random() < 0.3,
        rng.choices(SKY_NAMES, [4, 2, 1.7, 2])[0],
        rng.choice([-1, 1]),
    )


# Label columns and their number of classes; class 0 of shape1 and color1 says that there is no second object.
LABELS = dict(
    count=2, shape0=5, color0=8, size0=3, shiny0=2, striped0=2, motion=12, camera=6, floor=6, checker=2, sky=4, shape1=6, color1=9
)


def labels(scene):
    """The scene as one integer a column of `LABELS`."""
    a = scene.things[0]
    b = scene.things[1] if len(scene.things) == 2 else None
    return [
        len(scene.things) - 1,
        SHAPES.index(a.shape),
        COLOR_NAMES.index(a.color),
        SIZE_NAMES.index(a.size),
        int(a.shiny),
        int(a.striped),
        MOTIONS.index(scene.motion),
        CAMERAS.index(scene.camera),
        FLOOR_NAMES.index(scene.floor),
        int(scene.checker),
        SKY_NAMES.index(scene.sky),
        SHAPES.index(b.shape) + 1 if b else 0,
        COLOR_NAMES.index(b.color) + 1 if b else 0,
    ]


def scene_of(seed, pairs='train', twins=True):
    """The scene of one seed, and its random generator for whatever is drawn after it."""
    rng = random.Random(seed)
    return sample_scene(rng, pairs, twins), rng
