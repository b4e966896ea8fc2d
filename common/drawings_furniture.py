"""How the sample draws what a room holds: bottle, chair, table, plant, sofa, screen."""

# One point a line would hide the shapes.
# fmt: off

import math

import numpy as np

from common.drawings import DARK, WHITE, Sketch, pick, tint


def bottle(s: Sketch, rng: np.random.Generator) -> None:
    """A glass bottle with a label."""
    glass = pick(rng, [(24, 116, 62), (24, 116, 62), (24, 116, 62), (122, 66, 26)], 12)
    cap = pick(rng, [(200, 40, 44), (214, 180, 90), (60, 60, 66)])
    slope = rng.uniform(-0.4, -0.2)
    s.blob(
        [(-0.12, -0.9), (0.12, -0.9), (0.13, slope - 0.12), (0.33, slope + 0.22), (0.35, 0.9),
         (0.24, 1.0), (-0.24, 1.0), (-0.35, 0.9), (-0.33, slope + 0.22), (-0.13, slope - 0.12)],
        glass,
    )
    s.limb([(0.25, slope + 0.25), (0.27, 0.9)], 0.08, tint(glass, -0.35))
    s.box(-0.35, 0.14, 0.35, 0.68, pick(rng, [(244, 236, 212), (236, 220, 170),
                                              (240, 240, 240)], 6))
    s.box(-0.35, 0.2, 0.35, 0.26, cap)
    s.ellipse(0, 0.44, 0.15, 0.12, cap)
    s.limb([(-0.22, 0.58), (0.22, 0.58)], 0.04, DARK)
    s.limb([(-0.05, -0.7), (-0.06, slope), (-0.23, slope + 0.3),
            (-0.24, 0.92)], 0.06, tint(glass, 0.6))
    s.box(-0.15, -1.02, 0.15, -0.8, cap, 0.04)


def chair(s: Sketch, rng: np.random.Generator) -> None:
    """A wooden chair: slatted back, four legs."""
    wood = pick(rng, [(214, 160, 96), (190, 128, 70)], 12)
    far, dark = tint(wood, -0.4), tint(wood, -0.25)
    seat = pick(rng, [wood, (40, 156, 156), (40, 156, 156), (40, 156, 156)])
    s.limb([(-0.26, 0.1), (-0.26, 0.7)], 0.1, far)
    s.limb([(0.62, 0.1), (0.62, 0.72)], 0.1, far)
    s.limb([(-0.26, 0.46), (0.6, 0.46)], 0.06, far)
    s.limb([(-0.54, 0.5), (-0.3, 0.38)], 0.06, far)
    post = [(-0.58, -0.98), (-0.52, 0.2)]
    s.limb([(-0.28, -1.0), (-0.24, 0.1)], 0.1, dark)
    slats = int(rng.integers(3, 5))
    for y in np.linspace(-0.86, -0.2, slats):
        s.polygon([(-0.56, y), (-0.25, y - 0.05), (-0.25, y + 0.08), (-0.56, y + 0.14)], dark)
    s.limb(post, 0.12, wood)
    s.polygon([(-0.62, 0.16), (-0.22, 0.0), (0.68, 0.0), (0.44, 0.22)], tint(seat, 0.12))
    s.polygon([(-0.62, 0.16), (0.44, 0.22), (0.44, 0.34), (-0.62, 0.28)], tint(seat, -0.25))
    s.polygon([(0.44, 0.22), (0.68, 0.0), (0.68, 0.12), (0.44, 0.34)], tint(seat, -0.4))
    for x in (-0.54, 0.38):
        s.limb([(x, 0.3), (x, 0.97)], 0.12, wood)
    s.limb([(-0.54, 0.66), (0.38, 0.68)], 0.07, wood)


def diningtable(s: Sketch, rng: np.random.Generator) -> None:
    """A laid table: wood or a cloth on top, plates and glasses."""
    wood = pick(rng, [(139, 88, 48), (112, 70, 44)], 12)
    for reach, top, foot, shade in ((0.62, 0.0, 0.62, -0.3), (0.86, 0.2, 0.98, 0.0)):
        for x in (-reach, reach):
            s.limb([(x, top), (x, foot)], 0.12, tint(wood, shade))
    top = [(-0.74, -0.22), (0.74, -0.22), (1.08, 0.2), (-1.08, 0.2)]
    s.polygon([(-1.08, 0.2), (1.08, 0.2), (1.08, 0.32), (-1.08, 0.32)], tint(wood, -0.3))
    s.polygon(top, tint(wood, 0.1))
    if rng.random() < 0.85:
        cloth = pick(rng, [(244, 240, 232), (214, 54, 54), (214, 54, 54)], 8)
        s.polygon([(-0.6, -0.22), (0.6, -0.22), (0.86, 0.2), (-0.86, 0.2)], cloth)
        folds = [(-0.86, 0.2), (0.86, 0.2), (0.84, 0.5), (0.6, 0.44), (0.3, 0.52), (0, 0.44),
                 (-0.3, 0.52), (-0.6, 0.44)]
        s.polygon([*folds, (-0.84, 0.5)], tint(cloth, -0.18))
    rim = (190, 200, 212)
    for x, y in ((-0.5, 0.06), (0.5, 0.06), (0.0, -0.1)):
        s.ellipse(x, y, 0.24, 0.085, rim)
        s.ellipse(x, y - 0.015, 0.23, 0.08, WHITE)
        s.ellipse(x, y - 0.01, 0.14, 0.045, pick(rng, [(220, 120, 50), (110, 160, 70),
                                                       (240, 236, 230)]))
    for x, y in ((-0.16, 0.06), (0.2, 0.06)):
        s.limb([(x, y), (x, y - 0.2)], 0.03, (206, 222, 232))
        s.ellipse(x, y, 0.07, 0.025, (206, 222, 232))
        s.blob([(x - 0.08, y - 0.42), (x + 0.08, y - 0.42), (x + 0.06, y - 0.22),
                (x - 0.06, y - 0.22)], (206, 222, 232))
        s.blob([(x - 0.07, y - 0.34), (x + 0.07, y - 0.34), (x + 0.05, y - 0.22),
                (x - 0.05, y - 0.22)], (170, 40, 60))


def pottedplant(s: Sketch, rng: np.random.Generator) -> None:
    """Green leaves in a terracotta pot, sometimes in flower."""
    pot = pick(rng, [(200, 98, 58), (186, 84, 50)], 10)
    green = pick(rng, [(52, 140, 60), (80, 160, 70), (36, 112, 66)])
    broad = rng.uniform(0.07, 0.14)
    bloom = pick(rng, [(230, 60, 110), (250, 210, 60), (240, 240, 244)])
    flowers = rng.random() < 0.35
    angles = np.linspace(-78, 78, int(rng.integers(8, 12))) + rng.uniform(-6, 6)
    # From the outside in, so that the upright leaves lie on top of the hanging ones.
    for angle in sorted(angles, key=abs, reverse=True):
        length = rng.uniform(0.85, 1.25) * (1 - 0.25 * abs(angle) / 90)
        dx, dy = math.sin(math.radians(angle)), -math.cos(math.radians(angle))
        tip_x, tip_y = dx * length, 0.3 + dy * length + 0.25 * abs(dx)
        mid_x, mid_y = dx * length * 0.5, 0.22 + dy * length * 0.55
        leaf = tint(green, rng.uniform(-0.3, 0.25))
        side_x, side_y = -dy * broad, dx * broad
        s.blob(
            [(0, 0.4), (mid_x + side_x, mid_y + side_y), (tip_x, tip_y),
             (mid_x - side_x, mid_y - side_y)],
            leaf,
        )
        s.limb([(0, 0.35), (mid_x, mid_y), (tip_x * 0.95, tip_y * 0.95)], 0.022, tint(leaf, 0.35))
        if flowers and abs(angle) < 60:
            for a in np.arange(0, 6.28, 1.26):
                petal_x, petal_y = tip_x + 0.08 * math.cos(a), tip_y + 0.08 * math.sin(a)
                s.ellipse(petal_x, petal_y, 0.065, 0.065, bloom)
            s.ellipse(tip_x, tip_y, 0.05, 0.05, (240, 170, 40))
    s.polygon([(-0.42, 0.42), (0.42, 0.42), (0.3, 1.0), (-0.3, 1.0)], pot)
    s.polygon([(0.16, 0.42), (0.42, 0.42), (0.3, 1.0), (0.13, 1.0)], tint(pot, -0.2))
    s.box(-0.48, 0.32, 0.48, 0.5, tint(pot, 0.12), 0.03)
    s.box(-0.46, 0.48, 0.46, 0.53, tint(pot, -0.35))


def sofa(s: Sketch, rng: np.random.Generator) -> None:
    """A sofa: two or three cushions between thick arms."""
    cloth = pick(rng, [(150, 40, 60), (44, 100, 120), (110, 84, 150), (190, 150, 60),
                       (90, 110, 70)])
    for x in (-0.92, 0.92):
        s.limb([(x, 0.6), (x, 0.82)], 0.09, (70, 46, 32))
    s.box(-0.96, -0.52, 0.96, 0.4, tint(cloth, -0.25), 0.2)
    seats = int(rng.integers(2, 4))
    width = 1.6 / seats
    for k in range(seats):
        left = -0.8 + k * width
        s.box(left + 0.02, -0.44, left + width - 0.02, 0.2, tint(cloth, -0.06), 0.1)
        s.box(left + 0.02, 0.1, left + width - 0.02, 0.38, tint(cloth, 0.2), 0.08)
        s.ellipse(left + width / 2, -0.14, 0.03, 0.03, tint(cloth, -0.45))
    s.box(-0.9, 0.36, 0.9, 0.66, tint(cloth, -0.15), 0.04)
    s.limb([(-0.78, 0.39), (0.78, 0.39)], 0.03, tint(cloth, -0.5))
    for x in (-0.93, 0.93):
        s.box(x - 0.19, -0.1, x + 0.19, 0.68, cloth, 0.16)
        s.ellipse(x, 0.08, 0.15, 0.14, tint(cloth, 0.15))
        s.ellipse(x, 0.08, 0.07, 0.06, tint(cloth, -0.2))
    if rng.random() < 0.5:
        pillow = pick(rng, [(240, 220, 170), (220, 110, 60), (230, 230, 232)])
        s.blob([(-0.72, -0.2), (-0.4, -0.26), (-0.34, 0.1), (-0.68, 0.16)], pillow)


def tvmonitor(s: Sketch, rng: np.random.Generator) -> None:
    """A television or screen on its foot, showing a picture, a window or nothing."""
    case = pick(rng, [(32, 32, 36), (52, 52, 58)], 8)
    s.polygon([(-0.14, 0.5), (0.14, 0.5), (0.18, 0.86), (-0.18, 0.86)], tint(case, -0.2))
    s.ellipse(0, 0.88, 0.48, 0.1, tint(case, -0.1))
    s.box(-1.04, -0.72, 1.04, 0.62, case, 0.07)
    s.box(-0.94, -0.62, 0.94, 0.48, (20, 24, 34))
    shows = rng.random()
    if shows < 0.5:
        s.box(-0.94, -0.62, 0.94, 0.0, (70, 150, 230))
        s.box(-0.94, 0.0, 0.94, 0.48, (60, 150, 110))
        s.ellipse(0.5, -0.34, 0.16, 0.16, (255, 224, 120))
        s.polygon([(-0.94, 0.05), (-0.5, -0.4), (-0.1, 0.05)], (90, 110, 160))
        s.polygon([(-0.4, 0.05), (0.0, -0.25), (0.4, 0.05)], (110, 130, 176))
    elif shows < 0.9:
        s.box(-0.94, -0.62, 0.94, 0.48, (36, 104, 176))
        s.box(-0.7, -0.42, 0.4, 0.28, (240, 244, 248))
        s.box(-0.7, -0.42, 0.4, -0.3, (110, 176, 236))
        for y in (-0.18, -0.04, 0.1):
            s.limb([(-0.6, y), (rng.uniform(-0.1, 0.3), y)], 0.05, (120, 136, 156))
    s.polygon([(0.94, -0.62), (0.94, 0.0), (0.3, -0.62)], (150, 186, 214))
    s.ellipse(0.9, 0.55, 0.03, 0.03, (90, 230, 110))
