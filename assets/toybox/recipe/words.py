"""The words of the captions: how people name shapes, colours, floors, skies, motions and cameras. A word that stands there more often is said more often."""

SHAPE_WORDS = {
    'ball': ['ball'] * 8 + ['sphere'] * 3 + ['orb', 'globe', 'marble'],
    'cube': ['cube'] * 8 + ['box'] * 3 + ['block', 'block', 'crate', 'dice'],
    'cylinder': ['cylinder'] * 8 + ['can'] * 2 + ['tube', 'barrel', 'pillar'],
    'ring': ['ring'] * 6 + ['donut'] * 3 + ['torus', 'torus', 'doughnut', 'hoop'],
    'cone': ['cone'] * 10 + ['pyramid'],
}
COLOR_WORDS = {
    'red': ['red'] * 8 + ['crimson', 'scarlet'],
    'orange': ['orange'] * 9 + ['tangerine'],
    'yellow': ['yellow'] * 9 + ['golden'],
    'green': ['green'] * 9 + ['emerald'],
    'blue': ['blue'] * 9 + ['navy'],
    'purple': ['purple'] * 7 + ['violet'] * 2,
    'pink': ['pink'] * 9 + ['rose'],
    'white': ['white'] * 9 + ['ivory'],
}
SIZE_WORDS = {
    'small': ['small', 'small', 'little', 'tiny'],
    'medium': ['', '', '', 'medium sized', 'medium'],
    'large': ['large', 'big', 'big', 'huge', 'giant'],
}
SHINY_WORDS = ['shiny'] * 5 + ['glossy', 'metallic', 'polished']
MATTE_WORDS = ['matte'] * 4 + ['rough', 'dull']
FLOOR_WORDS = {
    'gray': ['gray', 'grey'],
    'brown': ['brown', 'brown', 'wooden brown', 'wooden'],
    'green': ['green', 'green', 'grass green', 'grassy'],
}
SKY_PHRASES = {
    'day': [
        'under a blue sky',
        'on a sunny day',
        'in daylight',
        'under a clear blue sky',
        'during the day',
        'in the sun',
        'by day',
        'with a blue sky',
    ],
    'sunset': [
        'at sunset',
        'under an orange sunset sky',
        'in the evening light',
        'at dusk',
        'in the evening',
        'with a sunset sky',
        'under an orange sky',
    ],
    'night': ['at night', 'in the dark', 'under a dark night sky', 'at midnight', 'by night', 'under a black sky', 'with a dark sky'],
    'gray': [
        'under a gray sky',
        'on a cloudy day',
        'in foggy weather',
        'under a grey sky',
        'in the fog',
        'on an overcast day',
        'with a gray sky',
    ],
}
SKY_SENTENCES = {
    'day': ['the sky is blue', 'it is day', 'it is sunny', 'the sun shines'],
    'sunset': ['it is evening', 'the sky is orange', 'the sun sets', 'it is sunset'],
    'night': ['it is night', 'it is dark', 'the sky is dark', 'the sky is black'],
    'gray': ['the sky is gray', 'it is cloudy', 'it is foggy', 'the sky is grey'],
}
SKY_KEYWORDS = {
    'day': ['day', 'blue sky', 'sunny', 'daylight'],
    'sunset': ['sunset', 'evening', 'dusk'],
    'night': ['night', 'dark', 'dark sky'],
    'gray': ['cloudy', 'gray sky', 'fog', 'overcast', 'foggy'],
}
# each verb as [the ball ..., a ball ...]
VERBS = {
    'go': [
        ('rolls', 'rolling'),
        ('moves', 'moving'),
        ('slides', 'sliding'),
        ('glides', 'gliding'),
        ('goes', 'going'),
        ('travels', 'travelling'),
    ],
    'bounce': [
        ('bounces', 'bouncing'),
        ('bounces', 'bouncing'),
        ('bounces up and down', 'bouncing up and down'),
        ('hops', 'hopping'),
        ('jumps up and down', 'jumping up and down'),
        ('jumps', 'jumping'),
    ],
    'spin': [
        ('spins', 'spinning'),
        ('spins', 'spinning'),
        ('rotates', 'rotating'),
        ('turns around', 'turning around'),
        ('spins in place', 'spinning in place'),
        ('turns', 'turning'),
    ],
    'grow': [
        ('grows', 'growing'),
        ('gets bigger', 'getting bigger'),
        ('grows larger', 'growing larger'),
        ('expands', 'expanding'),
        ('becomes bigger', 'becoming bigger'),
    ],
    'shrink': [
        ('shrinks', 'shrinking'),
        ('shrinks', 'shrinking'),
        ('gets smaller', 'getting smaller'),
        ('becomes smaller', 'becoming smaller'),
    ],
    'toward': [
        ('moves toward the camera', 'moving toward the camera'),
        ('comes closer', 'coming closer'),
        ('slides toward the camera', 'sliding toward the camera'),
        ('approaches the camera', 'approaching the camera'),
        ('approaches', 'approaching'),
        ('comes towards us', 'coming towards us'),
    ],
    'away': [
        ('moves away from the camera', 'moving away from the camera'),
        ('slides away', 'sliding away'),
        ('goes into the distance', 'going into the distance'),
        ('moves away', 'moving away'),
        ('rolls away', 'rolling away'),
    ],
    'fall': [
        ('falls from above', 'falling from above'),
        ('drops onto the floor', 'dropping onto the floor'),
        ('falls down', 'falling down'),
        ('falls', 'falling'),
        ('drops', 'dropping'),
        ('falls from the sky', 'falling from the sky'),
    ],
    'rise': [
        ('rises into the air', 'rising into the air'),
        ('floats up', 'floating up'),
        ('flies up', 'flying up'),
        ('lifts off', 'lifting off'),
        ('rises', 'rising'),
        ('flies away', 'flying away'),
        ('goes up', 'going up'),
    ],
    'still': [
        ('sits', 'sitting'),
        ('rests', 'resting'),
        ('stands still', 'standing still'),
        ('stays still', 'staying still'),
        ('does not move', 'not moving'),
        ('stands', 'standing'),
    ],
    'orbit': [
        ('circles around', 'circling around'),
        ('orbits', 'orbiting'),
        ('moves around', 'moving around'),
        ('goes around', 'going around'),
        ('circles', 'circling'),
        ('flies around', 'flying around'),
    ],
}
CAMERA_PHRASES = {
    'static': ['static camera', 'fixed camera', 'the camera does not move', 'still camera', 'the camera stays still'],
    'pan_left': ['the camera pans left', 'camera panning to the left', 'camera pans to the left', 'pan left', 'the camera turns left'],
    'pan_right': [
        'the camera pans right',
        'camera panning to the right',
        'camera pans to the right',
        'pan right',
        'the camera turns right',
    ],
    'orbit': [
        'the camera orbits',
        'the camera slowly orbits around',
        'orbiting camera',
        'the camera circles around the scene',
        'camera orbit',
        'the camera moves around the scene',
    ],
    'zoom_in': ['the camera zooms in', 'zoom in', 'the camera moves closer', 'slow zoom in', 'zooming in', 'the camera comes closer'],
    'zoom_out': ['the camera zooms out', 'zoom out', 'the camera pulls back', 'slow zoom out', 'zooming out', 'the camera moves back'],
}
OPENINGS = [
    'a video of',
    'a video of',
    'video of',
    '3d render of',
    'an animation of',
    'animation of',
    'a clip of',
    'show me',
    'make a video of',
    'create a video of',
    'generate',
    'please show',
    'i want to see',
    'a scene with',
    'a shot of',
    'a picture of',
    'a movie of',
]
FILLERS = [
    '4k',
    'high quality',
    'cinematic',
    'realistic',
    '3d render',
    'beautiful',
    'very detailed',
    'hd',
    'smooth',
    'simple scene',
    'soft light',
    'toy world',
]
ADVERBS = ['slowly', 'quickly', 'gently', 'smoothly', 'fast', 'happily', 'suddenly']
