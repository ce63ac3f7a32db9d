"""A scene as numbers: what the renderer reads for a clip (`CLIP` floats) and for each of its frames (`FRAME` floats).

Axes: x right, y up, z towards the viewer; the floor is y = 0; a medium object is about 1.2 high.
Clip row: 0 count, 1-2 shape, 3-8 colour, 9-10 shiny, 11-12 striped, 13-15 floor, 16-18 second checker colour, 19 checker,
20 checker cell, 21-23 zenith, 24-26 horizon, 27-29 direction to the sun, 30 sun, 31 ambient, 32-33 checker offset.
Frame row: 0-2 eye, 3-5 right, 6-8 up, 9-11 forward, 12 focal length; then for each object 13 numbers: position, rotation, scale.
"""

import math

import numpy as np

from .scene import COLORS, FLOORS, SHAPES, SIZES, SKIES

CLIP, FRAME, FRAMES = 64, 48, 33
REST = {'ball': 0.60, 'cube': 0.50, 'cylinder': 0.59, 'ring': 0.62, 'cone': 0.61}  # height of the centre of a medium object at rest


def rotation(axis, angle):
    """[n] angles about 'y' or 'z' -> [n, 3, 3]."""
    c, s = np.cos(angle), np.sin(angle)
    z, o = np.zeros_like(c), np.ones_like(c)
    m = [c, z, s, z, o, z, -s, z, c] if axis == 'y' else [c, -s, z, s, c, z, z, z, o]
    return np.stack(m, -1).reshape(angle.shape + (3, 3))


def fall(u, pace, height):
    """Height over the floor at times u of a drop from `height` with one bounce; pace > 1.28 ends at rest."""
    t = u * pace
    g = height / 0.484
    landing = math.sqrt(height / g)
    speed = 0.42 * 2 * g * landing
    again = t - landing
    hop = np.where(again < speed / g, speed * again - g * again * again, 0)
    return np.maximum(np.where(t < landing, height - g * t * t, hop), 0)


def move(scene, k, rng, u):
    """Path of object k: position offset x, height over rest, z, yaw, roll (radians) and scale, each [FRAMES]."""
    thing, motion, two = scene.things[k], scene.motion, len(scene.things) == 2
    draw = rng.uniform
    one = np.ones_like(u)
    scale = SIZES[thing.size] * draw(0.96, 1.04) * (0.86 if two else 1.0) * one
    yaw = {'cube': draw(0.15, 0.75), 'ring': draw(-0.45, 0.45)}.get(thing.shape, draw(-0.5, 0.5)) * one
    roll, lift = 0 * u, 0 * u
    x = ((scene.side if k == 0 else -scene.side) * 0.92 if two else 0) + draw(-0.12, 0.12) * one
    z = draw(-0.2, 0.2) * one
    if k == 1:  # the second object stands where the first one passes or circles
        if motion in ('right', 'left'):
            x, z = draw(-0.5, 0.5) * one, -1.05 * one
        elif motion == 'orbit':
            x, z = draw(-0.1, 0.1) * one, 0 * u
        return x, lift, z, yaw, roll, scale
    turn = rng.choice([-1, 1])
    if motion in ('right', 'left'):
        way = 1 if motion == 'right' else -1
        reach = draw(1.05, 1.3)
        x = way * reach * (2 * u - 1) + draw(-0.08, 0.08)
        z = 0.55 * one if two else z
        if thing.shape == 'ball':
            roll = -(x - x[0]) / (REST['ball'] * scale[0])
    elif motion == 'bounce':
        lift = draw(0.65, 0.9) * np.abs(np.sin(math.pi * (rng.choice([1.3, 1.6, 1.8]) * u + draw(0, 1))))
    elif motion == 'spin':
        yaw = yaw + turn * 2 * math.pi * draw(0.45, 0.7) * u
    elif motion == 'grow':
        scale = scale * (0.45 + 0.85 * u)
    elif motion == 'shrink':
        scale = scale * (1.30 - 0.85 * u)
    elif motion == 'toward':
        z = -1.9 + 3.5 * u
    elif motion == 'away':
        z = 1.5 - 3.6 * u
    elif motion == 'orbit':
        angle = draw(0, 2 * math.pi) + turn * 2 * math.pi * draw(0.45, 0.65) * u
        radius = draw(1.35, 1.5)
        x, z = radius * np.cos(angle), 0.9 * radius * np.sin(angle)
    elif motion == 'fall':
        lift = fall(u, draw(1.25, 1.5), draw(2.0, 2.3))
    elif motion == 'rise':
        lift = draw(1.4, 1.8) * u * u * (3 - 2 * u)
    return x, lift, z, yaw, roll, scale


def camera(name, rng, u):
    """[FRAMES, 13]: eye, right, up, forward, focal length."""
    draw = rng.uniform
    distance = draw(5.6, 6.0) * np.ones_like(u)
    azimuth = draw(-0.12, 0.12) * np.ones_like(u)
    height = draw(1.5, 2.0)
    pan = 0 * u
    if name in ('pan_left', 'pan_right'):
        pan = (0.52 * u - 0.26) * (1 if name == 'pan_right' else -1)
    elif name == 'orbit':
        azimuth = azimuth + rng.choice([-1, 1]) * (1.1 * u - 0.55)
    elif name == 'zoom_in':
        distance = distance * (1.30 - 0.55 * u)
    elif name == 'zoom_out':
        distance = distance * (0.75 + 0.55 * u)
    eye = np.stack([distance * np.sin(azimuth), height * distance / 5.8, distance * np.cos(azimuth)], -1)
    ahead = np.array([0, 0.72, 0]) - eye
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    c, s = np.cos(pan), np.sin(pan)
    ahead = np.stack([c * ahead[:, 0] - s * ahead[:, 2], ahead[:, 1], s * ahead[:, 0] + c * ahead[:, 2]], -1)
    right = np.cross(ahead, np.array([0, 1.0, 0]))
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    focal = np.full((len(u), 1), 1 / math.tan(math.radians(18.5)))
    return np.concatenate([eye, right, np.cross(right, ahead), ahead, focal], -1)


def tracks(scene, rng):
    """-> clip row [CLIP] and frame rows [FRAMES, FRAME], float32."""
    clip, frames = np.zeros(CLIP, np.float32), np.zeros((FRAMES, FRAME), np.float32)
    u = np.linspace(0, 1, FRAMES)
    draw = rng.uniform
    clip[0] = len(scene.things)
    for k, thing in enumerate(scene.things):
        clip[1 + k] = SHAPES.index(thing.shape)
        clip[3 + 3 * k : 6 + 3 * k] = np.clip(np.array(COLORS[thing.color]) * draw(0.88, 1.12), 0, 0.95)
        clip[9 + k], clip[11 + k] = thing.shiny, thing.striped
        x, lift, z, yaw, roll, scale = move(scene, k, rng, u)
        b = 13 + 13 * k
        frames[:, b : b + 3] = np.stack([x, REST[thing.shape] * scale + lift, z], -1)
        frames[:, b + 3 : b + 12] = (rotation('z', roll) @ rotation('y', yaw)).reshape(FRAMES, 9)
        frames[:, b + 12] = scale
    clip[13:16] = np.clip(np.array(FLOORS[scene.floor]) * draw(0.9, 1.1), 0, 1)
    clip[16:19] = 0.05 if scene.floor == 'white' else 0.62
    clip[19], clip[20], clip[32:34] = scene.checker, draw(0.95, 1.15), (draw(0, 4), draw(0, 4))
    zenith, horizon, sun, ambient = SKIES[scene.sky]
    clip[21:24], clip[24:27], clip[30], clip[31] = zenith, horizon, sun * draw(0.95, 1.05), ambient
    light = np.array([draw(-0.75, -0.35), draw(0.85, 1.1), draw(0.25, 0.6)])
    clip[27:30] = light / np.linalg.norm(light)
    frames[:, :13] = camera(scene.camera, rng, u)
    return clip, frames
