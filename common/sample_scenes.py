"""Composes the pictures of the built-in sample, and knows what is to be seen on them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageChops

from common import drawings_animals as animals
from common import drawings_furniture as furniture
from common import drawings_vehicles as vehicles
from common.drawings import Sketch
from common.drawings_backdrops import BACKDROPS, soft_ellipse
from common.voc_layout import CLASSES

OUTDOORS = ("meadow", "street", "beach")
INDOORS = ("room", "room", "studio")
ROADS = ("street", "street", "meadow")
FIELDS = ("meadow", "meadow", "beach")

# class: (how it is drawn, where it is usually found, size beside the others, seen from the side)
DRAWINGS = {
    "aeroplane": (vehicles.aeroplane, ("meadow", "sea", "street"), 1.05, True),
    "bicycle": (vehicles.bicycle, OUTDOORS, 0.95, True),
    "bird": (animals.bird, ("meadow", "beach", "sea"), 1.0, True),
    "boat": (vehicles.boat, ("sea", "sea", "beach"), 1.0, True),
    "bottle": (furniture.bottle, INDOORS, 1.2, False),
    "bus": (vehicles.bus, ROADS, 1.1, True),
    "car": (vehicles.car, ROADS, 0.95, True),
    "cat": (animals.cat, INDOORS, 1.0, False),
    "chair": (furniture.chair, INDOORS, 1.1, True),
    "cow": (animals.cow, FIELDS, 1.0, True),
    "diningtable": (furniture.diningtable, INDOORS, 1.15, False),
    "dog": (animals.dog, ("room", "meadow", "beach"), 1.0, True),
    "horse": (animals.horse, FIELDS, 1.05, True),
    "motorbike": (vehicles.motorbike, ROADS, 0.95, True),
    "person": (animals.person, (*OUTDOORS, "room"), 1.2, False),
    "pottedplant": (furniture.pottedplant, INDOORS, 1.05, False),
    "sheep": (animals.sheep, FIELDS, 1.05, True),
    "sofa": (furniture.sofa, INDOORS, 1.1, False),
    "train": (vehicles.train, ROADS, 1.1, True),
    "tvmonitor": (furniture.tvmonitor, INDOORS, 1.0, False),
}

# The place gives the object away no more often than this; else any backdrop will do.
USUAL_PLACE = 0.75
# ... and so for what else is in the picture.
USUAL_COMPANY = 0.5
SIZES = ((320, 240), (240, 320), (300, 300), (333, 250), (250, 333), (344, 256), (280, 250))
OBJECTS_AN_IMAGE = (0.54, 0.3, 0.12, 0.04)  # the share of pictures with 1, 2, 3 and 4
# Half the size of an object as a share of the picture's short side: fewer objects are larger.
UNITS = {1: (0.36, 0.52), 2: (0.29, 0.42), 3: (0.24, 0.35), 4: (0.21, 0.3)}

# The share of objects that are only just in the picture, and of those too far off to make out well.
LEANING_OUT = 0.09
FAR_AWAY = 0.05

# Less of an object than this can be seen: difficult, as VOC's annotators would mark it.
DIFFICULT_BELOW_SHARE = 0.5
# ... or it covers less of the picture than this.
DIFFICULT_BELOW_AREA = 0.006
# Less than this, and they wouldn't have noticed it at all.
UNSEEN_BELOW_SHARE = 0.08

# Look-up tables for masks: how dark a shadow is, and what counts as covered at a smooth edge.
SHADOW_DEPTH = [round(0.6 * value) for value in range(256)]
SOLID = [255 * (value > 127) for value in range(256)]


@dataclass(frozen=True)
class Sighting:
    """One object that can be seen on a picture.

    Attributes:
        name: its class.
        pose: "Left", "Right" or "Frontal".
        box: (left, top, right, bottom) of what is visible, in pixels, right and bottom exclusive.
        visible_share: visible pixels / pixels of the whole object, in 0..1.
        visible_area: visible pixels / pixels of the picture, in 0..1.
        truncated: part of it lies outside the picture.
        occluded: part of it lies behind another object.
    """

    name: str
    pose: str
    box: tuple[int, int, int, int]
    visible_share: float
    visible_area: float
    truncated: bool
    occluded: bool

    @property
    def difficult(self) -> bool:
        """Too little of it to be seen for it to count in training and evaluation."""
        return self.visible_share < DIFFICULT_BELOW_SHARE or self.visible_area < DIFFICULT_BELOW_AREA


@dataclass(frozen=True)
class _Placed:
    """An object's picture (RGBA) and where it stands: its top left corner and its lower edge."""

    name: str
    pose: str
    picture: Image.Image
    left: int
    top: int
    airborne: bool

    @property
    def base(self) -> int:
        return self.top + self.picture.height


@cache
def _light() -> Image.Image:
    """Light from the upper left, to multiply an RGBA picture with."""
    y, x = np.mgrid[0:1:256j, 0:1:256j]
    falloff = np.clip(1.08 - 0.16 * x - 0.34 * y * y, 0, 1)
    rgb = (255 * falloff).astype(np.uint8)
    return Image.fromarray(np.dstack([rgb, rgb, rgb, np.full_like(rgb, 255)]))


def draw_object(
    name: str,
    unit: float,
    rng: np.random.Generator,
    rotation: float = 0.0,
    mirror: bool = False,
    stretch: float = 1.0,
) -> Image.Image:
    """Draws one object of the class `name`, cut to its outline, RGBA.

    Args:
        name: one of `voc_layout.CLASSES`; KeyError otherwise.
        unit: about half the object's size in pixels.
        rng: decides colours and variants.
        rotation: degrees, clockwise.
        mirror: looking to the left.
        stretch: > 1 is wider and lower.
    """
    sketch = Sketch(unit, rotation, mirror, stretch)
    DRAWINGS[name][0](sketch, rng)
    picture = sketch.finish()
    return ImageChops.multiply(picture, _light().resize(picture.size, Image.Resampling.NEAREST))


def _choose(index: int, rng: np.random.Generator) -> tuple[str, list[str]]:
    """The backdrop and the classes of picture `index`.

    The first class goes round all of them, which balances the classes.
    """
    names = [CLASSES[index % len(CLASSES)]]
    usual = rng.random() < USUAL_PLACE
    places = DRAWINGS[names[0]][1] if usual else tuple(BACKDROPS)
    place = places[int(rng.integers(len(places)))]
    at_home = [name for name in CLASSES if place in DRAWINGS[name][1]] or CLASSES
    count = 1 + int(rng.choice(len(OBJECTS_AN_IMAGE), p=OBJECTS_AN_IMAGE))
    while len(names) < count:
        company = at_home if rng.random() < USUAL_COMPANY else CLASSES
        again = rng.random() < 0.08
        names.append(names[0] if again else company[int(rng.integers(len(company)))])
    return place, names


def _place(names: list[str], size: tuple[int, int], horizon: int, rng: np.random.Generator) -> list[_Placed]:
    """Draws the objects and finds a place for each, from far to near."""
    width, height = size
    placed = []
    for slot, name in zip(rng.permutation(len(names)), names, strict=True):
        nearness = rng.random()
        unit = min(size) * DRAWINGS[name][2] * rng.uniform(*UNITS[len(names)]) * (0.85 + 0.3 * nearness)
        if rng.random() < FAR_AWAY:
            unit *= 0.3
        mirror = rng.random() < 0.5
        pose = ("Left" if mirror else "Right") if DRAWINGS[name][3] else "Frontal"
        picture = draw_object(name, unit, rng, rng.normal(0, 3), mirror, rng.uniform(0.92, 1.08))
        # Everything gets its own strip of the picture, loosely: some overlap and some lean out.
        middle = width * (slot + 0.5 + rng.uniform(-0.35, 0.35)) / len(names)
        if rng.random() < LEANING_OUT:
            middle = float(rng.choice([0, width])) + rng.normal(0, 0.1 * width)
        else:
            margin = min(0.42 * picture.width, width / 2)
            middle = min(max(middle, margin), width - margin)
        airborne = name == "aeroplane" and rng.random() < 0.85
        if airborne:
            base = height * rng.uniform(0.3, 0.75)
        else:
            base = horizon + (height - horizon) * (0.22 + 0.75 * nearness)
        base = max(base, picture.height * rng.uniform(0.9, 1.05))
        left, top = round(middle - picture.width / 2), round(base - picture.height)
        placed.append(_Placed(name, pose, picture, left, top, airborne))
    return sorted(placed, key=lambda item: item.base)


def _cast_shadow(scene: Image.Image, item: _Placed) -> None:
    """Darkens the ground below `item`."""
    size = round(item.picture.width * 1.15), max(6, round(item.picture.width * 0.2))
    mask = soft_ellipse().resize(size, Image.Resampling.BILINEAR).point(SHADOW_DEPTH)
    left = item.left - (size[0] - item.picture.width) // 2
    scene.paste((16, 18, 26), (left, item.base - round(size[1] * 0.68)), mask)


def _finish(scene: Image.Image, rng: np.random.Generator) -> Image.Image:
    """What a camera adds: exposure, contrast, a tint of the light, sensor noise."""
    gain = rng.uniform(0.88, 1.14) * (1 + rng.uniform(-0.06, 0.06, 3))  # (3,)
    gamma, contrast = rng.uniform(0.85, 1.2), rng.uniform(0.82, 1.12)
    tone = 128 + contrast * (255 * np.linspace(0, 1, 256) ** gamma - 128)
    table = np.clip(np.outer(gain, tone), 0, 255).astype(np.uint8)  # (3, 256)
    scene = scene.point(table.ravel().tolist())
    # Two uniform draws from one byte make a triangle: near enough to a bell, and far faster.
    grain = np.frombuffer(rng.bytes(3 * scene.width * scene.height), np.uint8)
    noise = ((grain >> 5) + (grain & 7)).reshape(scene.height, scene.width, 3)  # 0..14
    return ImageChops.add(scene, Image.fromarray(noise), offset=-7)


def draw_scene(seed: int, index: int) -> tuple[Image.Image, list[Sighting]]:
    """Draws picture `index` of the sample `seed`; depends on these two alone.

    Returns:
        The picture, RGB, short side 240 to 300, and what is to be seen on it, from far to near.
    """
    rng = np.random.default_rng((seed, index))
    size = SIZES[int(rng.integers(len(SIZES)))]
    horizon = int(size[1] * rng.uniform(0.36, 0.6))
    place, names = _choose(index, rng)
    scene = BACKDROPS[place](size, horizon, rng)

    placed = _place(names, size, horizon, rng)
    nearest = Image.new("L", size)  # which object each pixel shows: 1 + its position, 0 for none
    for position, item in enumerate(placed):
        if not item.airborne:
            _cast_shadow(scene, item)
        alpha = item.picture.getchannel("A")
        scene.paste(item.picture, (item.left, item.top), alpha)
        nearest.paste(position + 1, (item.left, item.top), alpha.point(SOLID))
    return _finish(scene, rng), _sightings(placed, np.asarray(nearest))


def _sightings(placed: list[_Placed], nearest: np.ndarray) -> list[Sighting]:
    """Measures on the map `nearest` (H, W) how much of each object is left to be seen."""
    height, width = nearest.shape
    sightings = []
    for position, item in enumerate(placed):
        solid = np.asarray(item.picture.getchannel("A")) > 127
        top, left = max(0, -item.top), max(0, -item.left)
        inside = int(solid[top : max(0, height - item.top), left : max(0, width - item.left)].sum())
        shown = nearest == position + 1
        visible, whole = int(shown.sum()), int(solid.sum())
        if visible < UNSEEN_BELOW_SHARE * whole or not visible:
            continue
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        sightings.append(
            Sighting(
                item.name,
                item.pose,
                box,
                visible / whole,
                visible / nearest.size,
                truncated=inside < 0.97 * whole,
                occluded=visible < 0.95 * inside,
            )
        )
    return sightings
