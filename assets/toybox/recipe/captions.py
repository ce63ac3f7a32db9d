"""Sentences for a scene: the way a person might type it, in many forms.

`caption(scene, rng)` leaves attributes out as people do; `full=True` says everything that an evaluation asks about (colour, shape,
motion, camera, floor, sky; both objects). Words that mean nothing here (fillers, adverbs, a few typing errors) teach the model to shrug.
"""

import string

from .words import (
    ADVERBS,
    CAMERA_PHRASES,
    COLOR_WORDS,
    FILLERS,
    FLOOR_WORDS,
    MATTE_WORDS,
    OPENINGS,
    SHAPE_WORDS,
    SHINY_WORDS,
    SIZE_WORDS,
    SKY_KEYWORDS,
    SKY_PHRASES,
    SKY_SENTENCES,
    VERBS,
)


def with_article(words, rng, definite=0.12):
    if rng.random() < definite:
        return 'the ' + words
    return ('an ' if words[0] in 'aeiou' else 'a ') + words


class Writer:
    """Writes one caption; every random choice goes through `rng`."""

    def __init__(self, scene, rng, full, errors):
        self.scene, self.rng, self.full, self.errors = scene, rng, full, errors
        self.pick = rng.choice
        self.two = len(scene.things) == 2
        self.bare = rng.random() < 0.1  # no articles at all: "red ball bouncing on blue floor"

    def chance(self, p):
        return self.rng.random() < p

    def keep(self, p):
        """Whether an attribute that an evaluation asks about is said."""
        return self.full or self.chance(p)

    def name(self, thing):
        """Adjectives and noun, without an article."""
        adjectives = []
        if self.chance(0.55):
            adjectives.append(self.pick(SHINY_WORDS if thing.shiny else MATTE_WORDS))
        if self.keep(0.96):
            adjectives.append(self.pick(COLOR_WORDS[thing.color]))
        if thing.striped:
            adjectives.append('striped')
        if self.chance(0.25):
            self.rng.shuffle(adjectives)
        size = self.pick(SIZE_WORDS[thing.size]) if self.chance(0.7) else ''
        noun = self.pick(SHAPE_WORDS[thing.shape]) if self.keep(0.97) else self.pick(['object', 'thing', 'toy'])
        return ' '.join(w for w in [size, *adjectives, noun] if w)

    def phrase(self, thing):
        """ "a shiny red ball", or "a ball that is red"."""
        if self.chance(0.04):
            return (
                with_article(self.pick(SHAPE_WORDS[thing.shape]), self.rng, 0)
                + self.pick([' that is ', ' which is '])
                + self.pick(COLOR_WORDS[thing.color])
            )
        return with_article(self.name(thing), self.rng)

    def short(self, k):
        """A second mention: "it", "the ball", "the red one", "the red ball"."""
        thing = self.scene.things[k]
        shape, color = self.pick(SHAPE_WORDS[thing.shape]), self.pick(COLOR_WORDS[thing.color])
        if not self.two:
            return self.pick(['it', 'it', 'the ' + shape, 'the object'])
        other = self.scene.things[1 - k]
        ways = ['the %s %s' % (color, shape)]
        if other.shape != thing.shape:
            ways += ['the ' + shape] * 3
        if other.color != thing.color:
            ways += ['the %s one' % color]
        if other.pair == thing.pair:
            ways = ['one of them']
        return self.pick(ways)

    def verb(self, form):
        """form 0 "bounces", 1 "bouncing", 2 "is bouncing"."""
        m = self.scene.motion
        words = self.pick(VERBS['go' if m in ('right', 'left') else m])[min(form, 1)]
        if m in ('right', 'left'):
            words += self.pick([' to the ' + m, ' ' + m, ' from left to right' if m == 'right' else ' from right to left'])
        if self.chance(0.07):
            words = self.pick(ADVERBS) + ' ' + words if self.chance(0.5) else words + ' ' + self.pick(ADVERBS)
        return ('is ' if form == 2 else '') + words

    def relation(self, b):
        """What ties the first object to the second, `b` being words for the second."""
        m, first_is_left = self.scene.motion, self.scene.side < 0
        if m == 'orbit':
            return b
        if m in ('right', 'left'):
            return self.pick(['in front of ', 'past ', 'past ', 'passing ']) + b
        o, own = ('right', 'left') if first_is_left else ('left', 'right')
        return self.pick(
            [
                'next to ' + b,
                'beside ' + b,
                'near ' + b,
                'with %s on the %s' % (b, o),
                'with %s to its %s' % (b, o),
                'to the %s of %s' % (own, b),
                own + ' of ' + b,
            ]
        )

    def floor_words(self):
        color = self.pick(FLOOR_WORDS.get(self.scene.floor, [self.scene.floor]))
        if not self.scene.checker:
            return (
                color
                + ' '
                + self.pick(
                    ['floor', 'floor', 'floor', 'ground', 'surface', 'table'] if color not in ('wooden', 'grassy') else ['floor', 'ground']
                )
            )
        if self.scene.floor == 'white' and self.chance(0.6):
            color = 'black and white'
        elif self.scene.floor != 'white' and self.chance(0.35):
            color += ' and white'
        return color + ' ' + self.pick(['checkered floor', 'checkered floor', 'checkerboard', 'checkerboard floor', 'tiled floor'])

    def floor(self):
        return 'on ' + with_article(self.floor_words(), self.rng, 0.2)

    def tails(self, sentences):
        """Sky and camera as phrases (or as sentences of their own), in either order."""
        out = []
        if self.keep(0.62):
            table = SKY_SENTENCES if sentences and self.chance(0.5) else SKY_PHRASES
            out.append(self.pick(table[self.scene.sky]))
        if self.full or self.scene.camera != 'static' and self.chance(0.93) or self.chance(0.25):
            out.append(self.pick(CAMERA_PHRASES[self.scene.camera]))
        self.rng.shuffle(out)
        return out

    def plain(self):
        """One clause: A does something (by B) on a floor, under a sky, camera."""
        a = self.phrase(self.scene.things[0])
        b = self.phrase(self.scene.things[1]) if self.two else None
        must = self.scene.motion in ('orbit',) or self.full
        say = must or self.chance(0.9)
        verb = '' if self.scene.motion == 'still' and self.chance(0.2) else self.verb(self.rng.choices([0, 1, 2], [45, 42, 13])[0])
        core = a + ' ' + verb if say and verb else a
        relation = self.relation(b) if self.two and (say or self.scene.motion not in ('right', 'left')) else None
        if self.two and not relation:
            relation = 'and ' + b
        floor = self.floor() if self.keep(0.85) else None
        if self.scene.motion == 'orbit' or not floor or self.chance(0.6):
            core = ' '.join(p for p in (core, relation, floor) if p)
        else:
            core = ' '.join(p for p in (core, floor, relation) if p)
        tails = self.tails(False)
        if tails and self.chance(0.1):
            return ', '.join([tails.pop(0), core, *tails])
        return core + ''.join((', ' if self.chance(0.8) else ' ') + t for t in tails)

    def both(self):
        """ "a red ball and a blue cube", "two balls, one red and one blue", "two blue objects, a cube and a cone"."""
        a, b = self.scene.things
        if a.pair == b.pair:
            return self.pick(['two', 'a pair of']) + ' ' + self.pick(COLOR_WORDS[a.color]) + ' ' + a.shape + 's'
        if a.shape == b.shape and self.chance(0.5):
            return 'two %ss, one %s and one %s' % (a.shape, a.color, b.color)
        if a.color == b.color and self.chance(0.3):
            return 'two %s objects, a %s and a %s' % (a.color, a.shape, b.shape)
        first, second = (a, b) if self.chance(0.75) else (b, a)
        return self.phrase(first) + self.pick([' and ', ' and ', ' with ', ', ']) + self.phrase(second)

    def clauses(self):
        """Two or more clauses: the objects first, then what they do, by a short name or a pronoun."""
        who = self.both() if self.two else self.phrase(self.scene.things[0])
        floor = ' ' + self.floor() if self.keep(0.8) else ''
        first = self.pick(['there is ', 'there is ', 'we see ', '', '', '']) + who + floor
        what = self.short(0) + ' ' + self.verb(self.pick([0, 0, 2]))
        if self.two:
            if self.scene.motion == 'orbit':
                what += ' ' + self.pick([self.short(1), 'the other one', self.short(1)])
            elif self.chance(0.3):
                what += ' ' + self.relation(self.short(1))
        parts = [first, what] if self.keep(0.92) else [first]
        if len(parts) == 2 and not self.two and self.chance(0.15):
            parts = [self.phrase(self.scene.things[0]) + ' ' + self.verb(0), 'the floor is ' + self.floor_words().replace(' floor', '')]
        return self.pick([', ', '. ', '. ', ' and ', '; ']).join(parts) + ''.join(
            self.pick([', ', '. ', ', ']) + t for t in self.tails(True)
        )

    def keywords(self):
        """A list: "red ball, bouncing, blue floor, night"."""
        parts = [self.name(t) for t in self.scene.things]
        if self.two and self.scene.motion in ('orbit', 'right', 'left'):
            parts = [parts[0] + ' ' + self.verb(1) + ' ' + self.relation(parts[1])]
        elif self.two:
            parts = [parts[0] + ' ' + self.verb(1), parts[1]]
        else:
            parts.append(self.verb(1))
        rest = []
        if self.keep(0.85):
            rest.append(self.floor_words())
        if self.keep(0.6):
            rest.append(self.pick(SKY_KEYWORDS[self.scene.sky]))
        if self.full or self.scene.camera != 'static':
            rest.append(self.pick(CAMERA_PHRASES[self.scene.camera]))
        self.rng.shuffle(rest)
        return ', '.join(parts + rest)

    def write(self):
        form = self.rng.choices([self.plain, self.clauses, self.keywords], [62, 30, 8])[0]
        text = form()
        if text.startswith(('a ', 'an ', 'two ')) and self.chance(0.13):
            text = self.pick(OPENINGS) + ' ' + text
        if self.chance(0.04):
            text += ', ' + self.pick(FILLERS)
        if self.bare:
            text = ' '.join(w for w in text.split() if w not in ('a', 'an', 'the'))
        if self.errors and self.chance(0.04):
            text = mistype(text, self.rng)
        if self.chance(0.3):
            text = text[0].upper() + text[1:]
        return text + ('.' if self.chance(0.2) else '')


def mistype(text, rng):
    """One word gets a letter dropped, doubled or exchanged."""
    words = text.split(' ')
    k = rng.randrange(len(words))
    w = words[k]
    if len(w) > 3:
        i = rng.randrange(1, len(w) - 1)
        words[k] = rng.choice([w[:i] + w[i + 1 :], w[:i] + w[i] + w[i:], w[:i] + rng.choice(string.ascii_lowercase) + w[i + 1 :]])
    return ' '.join(words)


def caption(scene, rng, full=False):
    """One sentence about the scene. full: nothing that an evaluation asks about is left out, and nothing mistyped."""
    return Writer(scene, rng, full, errors=not full).write()


def clean_caption(scene, rng):
    """A caption without typing errors, for counting words."""
    return Writer(scene, rng, full=False, errors=False).write()
