"""The scenes behind the sample's objects: meadow, street, sea, beach, room, studio, haze.

A backdrop is drawn straight at the size of the picture. Each function takes the picture's size, the
height of its horizon (where the ground ends) in pixels and a generator, and returns an RGB image.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from common.drawings import GLASS, Colour, pick, tint

WOODS: tuple[Colour, ...] = ((176, 118, 66), (139, 88, 48), (205, 156, 98), (112, 70, 44))
SKIES = ((116, 176, 232), (150, 196, 230), (176, 190, 204), (240, 186, 140), (98, 150, 214))


@cache
def soft_ellipse() -> Image.Image:
    """A mask for clouds and shadows: 255 in the middle, fading to 0 at the edge."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    fade = np.clip(1 - np.hypot(x, y), 0, 1)
    return Image.fromarray((255 * fade * fade * (3 - 2 * fade)).astype(np.uint8))


def _fill(image: Image.Image, top: int, bottom: int, upper: Colour, lower: Colour) -> None:
    """Paint the rows from `top` to `bottom` with a vertical gradient."""
    if bottom <= top:
        return
    column = np.linspace(upper, lower, bottom - top).astype(np.uint8)[:, None]  # (rows, 1, 3)
    band = Image.fromarray(column).resize((image.width, bottom - top), Image.Resampling.NEAREST)
    image.paste(band, (0, top))


def _mottle(image: Image.Image, top: int, strength: int, rng: np.random.Generator) -> None:
    """Lighten and darken everything below `top` in soft patches that get flatter with distance."""
    size = (image.width, image.height - top)
    grains = rng.integers(0, strength, (max(4, size[1] // 3), size[0] // 9), dtype=np.uint8)
    mask = Image.fromarray(grains).resize(size, Image.Resampling.BILINEAR)
    tone = (255, 255, 240) if rng.random() < 0.5 else (20, 24, 20)
    image.paste(tone, (0, top), mask)


def _sky(size: tuple[int, int], horizon: int, rng: np.random.Generator) -> Image.Image:
    """A sky with a few clouds; the ground is left to paint."""
    image = Image.new("RGB", size)
    blue = pick(rng, SKIES)
    _fill(image, 0, horizon + 1, tint(blue, -0.12), tint(blue, 0.55))
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, 0.7 * horizon)
        for _ in range(3):
            w, h = int(rng.uniform(50, 120)), int(rng.uniform(24, 46))
            corner = (int(x + rng.uniform(-40, 40)) - w // 2, int(y + rng.uniform(-8, 8)) - h // 2)
            image.paste((252, 252, 255), corner, soft_ellipse().resize((w, h)))
    return image


def _hills(image: Image.Image, horizon: int, colour: Colour, rng: np.random.Generator) -> None:
    """Two rows of rolling hills that end at the horizon."""
    draw = ImageDraw.Draw(image)
    for row, haze in enumerate((0.45, 0.2)):
        height = horizon * (0.24 - 0.1 * row)
        x = np.linspace(0, image.width, 24)
        waves = sum(np.sin(x * rng.uniform(0.01, 0.035) + rng.uniform(0, 6)) for _ in range(2))
        y = horizon - height * (0.55 + 0.22 * waves)
        ridge = np.stack([x, y], axis=1).ravel().tolist()
        draw.polygon([*ridge, image.width, horizon, 0, horizon], fill=tint(colour, haze))


def meadow(size: tuple[int, int], horizon: int, rng: np.random.Generator) -> Image.Image:
    """Grass under a sky, with hills and tufts."""
    image = _sky(size, horizon, rng)
    grass = pick(rng, [(104, 156, 66), (132, 164, 76), (86, 140, 80), (170, 160, 90)])
    if rng.random() < 0.7:
        _hills(image, horizon, tint(grass, -0.15), rng)
    _fill(image, horizon, size[1], tint(grass, 0.18), tint(grass, -0.22))
    _mottle(image, horizon, 80, rng)
    draw = ImageDraw.Draw(image)
    for x, depth in rng.random((40, 2)).tolist():
        x, y, blade = x * size[0], horizon + depth * (size[1] - horizon), 3 + 7 * depth
        draw.line([x, y, x + 2, y - blade], fill=tint(grass, -0.3))
        draw.line([x + 3, y, x + 6, y - blade], fill=tint(grass, 0.2))
    return image


def street(size: tuple[int, int], horizon: int, rng: np.random.Generator) -> Image.Image:
    """A road in front of houses or open country."""
    image = _sky(size, horizon, rng)
    draw = ImageDraw.Draw(image)
    x = -int(rng.integers(0, 40))
    while x < size[0] and rng.random() < 0.93:
        width = int(rng.integers(50, 100))
        top = int(horizon * rng.uniform(0.1, 0.6))
        wall = pick(rng, [(196, 150, 124), (206, 196, 176), (150, 156, 168), (176, 110, 90)])
        draw.rectangle([x, top, x + width, horizon], fill=tint(wall, 0.15))
        draw.rectangle([x, top, x + width, top + 4], fill=tint(wall, -0.3))
        for wx in range(x + 9, x + width - 12, 20):
            for wy in range(top + 12, horizon - 12, 24):
                draw.rectangle([wx, wy, wx + 9, wy + 13], fill=tint(GLASS, -0.35))
        x += width + int(rng.integers(0, 3)) * 8
    tar = pick(rng, [(112, 112, 116), (134, 128, 122), (92, 94, 102)], 8)
    kerb = horizon + (size[1] - horizon) // 5
    _fill(image, horizon, kerb, tint(tar, 0.4), tint(tar, 0.3))
    _fill(image, kerb, size[1], tint(tar, 0.05), tint(tar, -0.2))
    _mottle(image, kerb, 50, rng)
    middle = (kerb + size[1]) // 2
    for x in range(int(rng.integers(-60, 0)), size[0], 78):
        draw.polygon([x, middle, x + 40, middle, x + 37, middle + 5, x - 5, middle + 5], fill=(226, 224, 212))
    draw.line([0, kerb, size[0], kerb], fill=tint(tar, -0.35), width=2)
    return image


def sea(size: tuple[int, int], horizon: int, rng: np.random.Generator) -> Image.Image:
    """Open water with small waves."""
    image = _sky(size, horizon, rng)
    water = pick(rng, [(44, 112, 160), (60, 140, 160), (70, 100, 130)])
    if rng.random() < 0.4:
        _hills(image, horizon, (90, 120, 110), rng)
    _fill(image, horizon, size[1], tint(water, 0.3), tint(water, -0.2))
    _mottle(image, horizon, 70, rng)
    draw = ImageDraw.Draw(image)
    for x, depth in rng.random((36, 2)).tolist():
        x, y, length = x * size[0], horizon + depth * (size[1] - horizon), 6 + 22 * depth
        draw.line([x, y, x + length / 2, y - 2 * depth, x + length, y], fill=tint(water, 0.45))
    return image


def beach(size: tuple[int, int], horizon: int, rng: np.random.Generator) -> Image.Image:
    """Sand, a strip of sea and the sky."""
    image = _sky(size, horizon, rng)
    sand = pick(rng, [(222, 196, 146), (206, 184, 150), (190, 150, 110)])
    shore = horizon + (size[1] - horizon) // 6
    _fill(image, horizon, shore, (70, 140, 176), (120, 186, 200))
    _fill(image, shore, size[1], tint(sand, 0.15), tint(sand, -0.15))
    _mottle(image, shore, 70, rng)
    return image


def room(size: tuple[int, int], horizon: int, rng: np.random.Generator) -> Image.Image:
    """A wall and a floor, with a window or a picture and sometimes a rug."""
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    wall = pick(rng, [(226, 214, 190), (178, 200, 204), (206, 180, 176), (186, 196, 164), (214, 214, 220)])
    _fill(image, 0, horizon, tint(wall, 0.15), tint(wall, -0.1))
    if rng.random() < 0.4:
        stripe = int(rng.integers(14, 34))
        for x in range(0, size[0], 2 * stripe):
            draw.rectangle([x, 0, x + stripe, horizon], fill=tint(wall, -0.06))
    if rng.random() < 0.75:
        x, y = int(rng.uniform(0.05, 0.7) * size[0]), int(rng.uniform(0.08, 0.25) * horizon)
        w, h = int(rng.uniform(44, 84)), int(rng.uniform(0.4, 0.6) * horizon)
        draw.rectangle([x, y, x + w, y + h], fill=pick(rng, [(246, 244, 238), (120, 84, 56)]))
        view = pick(rng, [(170, 206, 234), (206, 190, 150), (150, 170, 150)])
        draw.rectangle([x + 4, y + 4, x + w - 4, y + h - 4], fill=view)
        draw.rectangle([x + w // 2 - 1, y, x + w // 2 + 1, y + h], fill=(246, 244, 238))
    floor = pick(rng, [*WOODS, (176, 170, 162), (150, 120, 120)])
    _fill(image, horizon, size[1], tint(floor, 0.05), tint(floor, 0.3))
    y, gap = horizon, 8.0
    while y < size[1]:
        draw.line([0, y, size[0], y], fill=tint(floor, -0.12))
        y, gap = int(y + gap), gap * 1.35
    if rng.random() < 0.4:
        middle, reach = rng.uniform(0.2, 0.8) * size[0], rng.uniform(0.3, 0.5) * size[0]
        depth = size[1] - horizon
        box = [middle - reach, horizon + 0.2 * depth, middle + reach, size[1] - 0.15 * depth]
        draw.ellipse(box, fill=tint(pick(rng, [(170, 70, 66), (80, 100, 140), (200, 180, 130)]), 0.15))
    draw.rectangle([0, horizon - 5, size[0], horizon], fill=tint(wall, 0.5))
    return image


def studio(size: tuple[int, int], horizon: int, rng: np.random.Generator) -> Image.Image:
    """A plain backdrop of any colour with a soft edge between wall and floor."""
    image = Image.new("RGB", size)
    hue = tuple(int(c) for c in rng.integers(90, 230, 3))
    _fill(image, 0, horizon, tint(hue, -0.1), tint(hue, 0.35))
    _fill(image, horizon, size[1], tint(hue, 0.3), tint(hue, -0.2))
    return image


def haze(size: tuple[int, int], horizon: int, rng: np.random.Generator) -> Image.Image:
    """Blurred patches of colour, as behind an object in focus."""
    del horizon  # there is none to see
    rows, columns = int(rng.integers(3, 7)), int(rng.integers(3, 8))
    patches = rng.integers(80, 220, 3) + rng.integers(-34, 35, (rows, columns, 3))
    return Image.fromarray(patches.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


BACKDROPS = {f.__name__: f for f in (meadow, street, sea, beach, room, studio, haze)}
