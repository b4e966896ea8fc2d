"""How the sample draws what is alive: bird, cat, cow, dog, horse, person, sheep."""

# One point a line would hide the shapes.
# fmt: off

import numpy as np

from common.drawings import DARK, WHITE, Sketch, pick, tint

PINK = (232, 160, 158)


def bird(s: Sketch, rng: np.random.Generator) -> None:
    """A songbird on two thin legs, or on the wing."""
    coats = [(40, 100, 214), (40, 100, 214), (30, 150, 170), (206, 60, 50)]
    coat = pick(rng, coats)
    belly = pick(rng, [(246, 176, 84)])
    flying = rng.random() < 0.4
    s.polygon([(-0.4, 0.1), (-1.1, 0.28), (-1.05, 0.42), (-0.95, 0.5),
               (-0.3, 0.4)], tint(coat, -0.4))
    if flying:
        far = [(-0.1, 0), (-0.1, -0.5), (0.15, -1.05), (0.32, -0.6), (0.35, 0)]
        s.blob(far, tint(coat, -0.45))
    else:
        for x in (-0.05, 0.15):
            s.limb([(x, 0.5), (x + 0.05, 0.95)], 0.05, (120, 84, 50))
            s.limb([(x - 0.06, 0.97), (x + 0.2, 0.97)], 0.05, (120, 84, 50))
    body = [(-0.6, 0.25), (-0.2, -0.12), (0.25, -0.35), (0.6, -0.2), (0.58, 0.25), (0.25, 0.58)]
    s.blob([*body, (-0.2, 0.55)], coat)
    s.blob([(0.5, -0.05), (0.55, 0.25), (0.25, 0.55), (-0.1, 0.52), (0.2, 0.3)], belly)
    s.polygon([(0.74, -0.52), (1.08, -0.36), (0.72, -0.24)], (242, 170, 40))
    s.polygon([(0.74, -0.38), (1.08, -0.36), (0.72, -0.24)], (206, 128, 26))
    s.ellipse(0.5, -0.4, 0.3, 0.28, tint(coat, 0.08))
    s.eye(0.6, -0.46, 0.075)
    if flying:
        s.blob([(0.25, 0.2), (-0.2, 0.05), (-0.65, -0.9), (-0.25, -0.75),
                (0.2, -0.25)], tint(coat, -0.2))
        for x, y in ((-0.42, -0.62), (-0.26, -0.45), (-0.12, -0.28)):
            s.limb([(x, y), (x + 0.2, y + 0.42)], 0.04, tint(coat, -0.5))
    else:
        s.blob([(0.2, -0.1), (0.2, 0.22), (-0.2, 0.38), (-0.72, 0.36),
                (-0.3, 0.0)], tint(coat, -0.3))
        s.limb([(0.05, 0.16), (-0.45, 0.3)], 0.04, tint(coat, -0.55))


def cat(s: Sketch, rng: np.random.Generator) -> None:
    """A cat sitting up, with pointed ears and a curled tail."""
    coat = pick(rng, [(226, 140, 60), (226, 140, 60), (132, 134, 142), (66, 64, 72)])
    dark, light = tint(coat, -0.35), tint(coat, 0.6)
    striped = rng.random() < 0.7
    s.limb([(0.3, 0.85), (0.72, 0.88), (0.92, 0.6), (0.8, 0.3), (0.9, 0.1)], (0.2, 0.12), dark)
    s.blob(
        [(-0.5, 0.95), (-0.56, 0.55), (-0.36, 0.05), (0, -0.15), (0.36, 0.05), (0.56, 0.55),
         (0.5, 0.95)],
        coat,
    )
    s.blob([(-0.2, 0.0), (0.2, 0.0), (0.16, 0.4), (0, 0.52), (-0.16, 0.4)], light)
    if striped:
        for y in (0.3, 0.48, 0.66):
            for side in (-1, 1):
                s.limb([(side * 0.5, y + 0.06), (side * 0.27, y)], (0.07, 0.02), dark)
    for side in (-1, 1):
        s.limb([(side * 0.16, 0.35), (side * 0.17, 0.88)], (0.2, 0.18), tint(coat, 0.1))
        s.ellipse(side * 0.19, 0.92, 0.14, 0.08, light)
        s.polygon([(side * 0.47, -0.45), (side * 0.46, -1.0), (side * 0.06, -0.75)], coat)
        s.polygon([(side * 0.4, -0.55), (side * 0.41, -0.87), (side * 0.16, -0.72)], PINK)
    s.blob(
        [(-0.5, -0.4), (-0.38, -0.7), (0, -0.8), (0.38, -0.7), (0.5, -0.4), (0.3, -0.12),
         (0, -0.05), (-0.3, -0.12)],
        coat,
    )
    if striped:
        for x in (-0.13, 0, 0.13):
            s.limb([(x, -0.76), (x * 0.8, -0.58)], (0.06, 0.02), dark)
    iris = pick(rng, [(150, 200, 70), (235, 195, 60)])
    for side in (-1, 1):
        s.ellipse(side * 0.2, -0.43, 0.11, 0.1, iris)
        s.ellipse(side * 0.2, -0.43, 0.04, 0.09, DARK)
        s.ellipse(side * 0.09, -0.2, 0.12, 0.09, light)
        for y in (-0.26, -0.14):
            s.limb([(side * 0.14, -0.2), (side * 0.62, y)], 0.02, WHITE)
    s.polygon([(-0.07, -0.3), (0.07, -0.3), (0, -0.22)], (214, 110, 116))


def cow(s: Sketch, rng: np.random.Generator) -> None:
    """A cow: white with large dark patches, a pink muzzle and an udder."""
    coat = pick(rng, [(240, 236, 228)], 8)
    patch = pick(rng, [(40, 36, 38), (120, 66, 36)], 10)
    shade = tint(coat, -0.22)
    for x in (-0.5, 0.34):
        s.limb([(x, 0.2), (x, 0.93)], (0.2, 0.14), shade)
        s.box(x - 0.08, 0.9, x + 0.09, 1.0, DARK)
    s.limb([(-0.78, -0.3), (-0.95, 0.0), (-0.93, 0.35)], 0.06, coat)
    s.ellipse(-0.93, 0.45, 0.07, 0.13, patch)
    s.ellipse(-0.3, 0.38, 0.2, 0.17, PINK)
    s.blob(
        [(-0.8, -0.36), (-0.3, -0.42), (0.2, -0.38), (0.6, -0.42), (0.68, -0.05), (0.55, 0.3),
         (0, 0.42), (-0.6, 0.33), (-0.84, 0.05)],
        coat,
    )
    near = [(-0.66, patch), (0.48, coat)]
    for x, colour in near:
        s.limb([(x, 0.15), (x, 0.93)], (0.24, 0.15), colour)
        s.box(x - 0.09, 0.9, x + 0.1, 1.0, DARK)
    for x, y, r in ((-0.58, -0.08, 0.26), (-0.05, -0.16, 0.22), (0.38, 0.06, 0.2)):
        wobble = rng.uniform(0.75, 1.15, 7)
        around = np.linspace(0, 2 * np.pi, 7, endpoint=False)
        rays = zip(around, r * wobble, strict=True)
        s.blob([(x + w * np.cos(a), y + 0.85 * w * np.sin(a)) for a, w in rays], patch)
    s.limb([(0.5, -0.2), (0.74, -0.42)], (0.44, 0.36), coat)
    for tip in (0.58, 0.98):
        s.limb([(0.78, -0.66), (tip, -0.76), (tip, -0.92)], (0.09, 0.04), (222, 208, 170))
    s.ellipse(0.5, -0.55, 0.16, 0.08, patch, 15)
    s.ellipse(1.02, -0.6, 0.13, 0.07, patch, -20)
    s.blob([(0.6, -0.62), (0.78, -0.74), (0.96, -0.64), (1.0, -0.3), (0.92, -0.05), (0.74, -0.08),
            (0.64, -0.35)], coat)
    s.blob([(0.6, -0.62), (0.74, -0.72), (0.8, -0.5), (0.72, -0.28), (0.63, -0.4)], patch)
    s.ellipse(0.86, -0.1, 0.17, 0.13, PINK)
    for x in (0.8, 0.93):
        s.ellipse(x, -0.12, 0.03, 0.03, (150, 80, 84))
    s.eye(0.74, -0.45, 0.05)
    s.eye(0.92, -0.45, 0.05)


def dog(s: Sketch, rng: np.random.Generator) -> None:
    """A dog seen from the side, with a floppy ear, a collar and its tail up."""
    coat = pick(rng, [(198, 150, 92), (150, 98, 58), (222, 190, 136), (120, 84, 62)])
    ear, far, light = tint(coat, -0.5), tint(coat, -0.25), tint(coat, 0.5)
    s.limb([(-0.58, 0.0), (-0.85, -0.22), (-0.86, -0.6)], (0.17, 0.07), coat)
    for x in (-0.5, 0.4):
        s.limb([(x, 0.2), (x + 0.02, 0.92)], (0.22, 0.12), far)
    s.blob(
        [(-0.64, -0.02), (-0.3, -0.12), (0.2, -0.1), (0.5, -0.15), (0.55, 0.2), (0.35, 0.42),
         (-0.1, 0.3), (-0.4, 0.34), (-0.66, 0.28)],
        coat,
    )
    if rng.random() < 0.4:
        s.ellipse(-0.15, 0.02, 0.24, 0.13, ear)
    s.blob([(-0.64, 0.02), (-0.42, 0.02), (-0.34, 0.4), (-0.5, 0.55), (-0.66, 0.3)], coat)
    for x, foot in ((-0.52, -0.56), (0.32, 0.3)):
        s.limb([(x, 0.25), (foot - 0.02, 0.6), (foot, 0.92)], (0.24, 0.13), coat)
        s.ellipse(foot + 0.05, 0.94, 0.12, 0.07, light)
    s.blob([(0.5, 0.0), (0.56, 0.2), (0.4, 0.4), (0.34, 0.2)], light)
    s.limb([(0.38, 0.05), (0.52, -0.4)], (0.42, 0.34), coat)
    s.limb([(0.3, -0.22), (0.64, -0.1)], 0.1, pick(rng, [(206, 40, 44), (40, 90, 200)]))
    s.limb([(0.82, -0.3), (0.88, -0.1)], 0.1, (232, 110, 120))
    s.ellipse(0.56, -0.52, 0.29, 0.27, coat)
    s.limb([(0.62, -0.42), (0.96, -0.4)], (0.3, 0.2), light)
    s.ellipse(1.04, -0.46, 0.08, 0.07, DARK)
    s.limb([(0.8, -0.3), (1.0, -0.31)], 0.03, DARK)
    s.eye(0.68, -0.58, 0.055)
    s.blob([(0.34, -0.7), (0.52, -0.68), (0.52, -0.35), (0.42, -0.08), (0.28, -0.15),
            (0.26, -0.45)], ear)


def horse(s: Sketch, rng: np.random.Generator) -> None:
    """A horse: long legs, a long neck with a dark mane, a long tail."""
    coat = pick(rng, [(136, 70, 36), (110, 58, 34), (162, 92, 44), (84, 52, 40)], 12)
    hair, far = pick(rng, [(40, 28, 26), (232, 210, 160)], 8), tint(coat, -0.3)
    s.limb([(-0.62, -0.08), (-0.88, 0.1), (-0.84, 0.7)], (0.12, 0.22), hair)
    for x, knee in ((-0.5, -0.44), (0.4, 0.5)):
        s.limb([(x, 0.1), (knee, 0.5), (x - 0.04, 0.92)], (0.2, 0.09), far)
        s.box(x - 0.11, 0.9, x + 0.04, 1.0, DARK)
    s.blob(
        [(-0.66, -0.12), (-0.35, -0.22), (0.1, -0.12), (0.45, -0.2), (0.6, 0.05), (0.4, 0.3),
         (-0.1, 0.24), (-0.45, 0.32), (-0.7, 0.12)],
        coat,
    )
    for x, knee in ((-0.58, -0.62), (0.36, 0.3)):
        s.limb([(x, 0.1), (knee, 0.5), (x + 0.02, 0.92)], (0.28, 0.1), coat)
        s.box(x - 0.06, 0.9, x + 0.1, 1.0, DARK)
    s.limb([(0.36, 0.02), (0.5, -0.35), (0.62, -0.72)], (0.5, 0.26), coat)
    s.limb([(0.2, -0.12), (0.32, -0.45), (0.52, -0.86)], (0.2, 0.12), hair)
    s.polygon([(0.52, -0.8), (0.56, -1.04), (0.68, -0.82)], coat)
    s.limb([(0.62, -0.74), (0.98, -0.4)], (0.3, 0.18), coat)
    s.ellipse(0.97, -0.4, 0.11, 0.1, tint(coat, -0.35), 40)
    s.limb([(0.72, -0.76), (0.93, -0.54)], 0.06, WHITE)
    s.limb([(0.56, -0.92), (0.7, -0.72)], (0.12, 0.05), hair)
    s.eye(0.7, -0.66, 0.05)
    if rng.random() < 0.35:
        s.blob([(-0.2, -0.24), (0.12, -0.2), (0.14, 0.08),
                (-0.18, 0.06)], pick(rng, [(150, 30, 40), (40, 60, 120)]))


def person(s: Sketch, rng: np.random.Generator) -> None:
    """A person standing and facing us, an arm sometimes raised."""
    skin = pick(rng, [(240, 200, 168), (214, 164, 124), (156, 104, 70), (104, 68, 46)], 8)
    hair = pick(rng, [(44, 32, 28), (96, 60, 34), (214, 176, 96), (150, 70, 36)], 10)
    shirt = pick(rng, [(206, 48, 56), (44, 96, 190), (240, 200, 60), (66, 150, 92),
                       (236, 236, 232)])
    trousers = pick(rng, [(44, 62, 110), (64, 62, 66), (150, 128, 92)])
    long_hair = rng.random() < 0.5
    if long_hair:
        s.blob([(-0.24, -0.85), (0, -1.0), (0.24, -0.85), (0.28, -0.42), (0, -0.35),
                (-0.28, -0.42)], hair)
    for side in (-1, 1):
        s.limb([(side * 0.13, 0.15), (side * 0.17, 0.9)], (0.27, 0.18), trousers)
        s.ellipse(side * 0.21, 0.95, 0.15, 0.07, (52, 42, 42))
        if side == 1 and rng.random() < 0.4:
            arm = [(0.28, -0.3), (0.5, -0.38), (0.58, -0.72)]
        else:
            arm = [(side * 0.28, -0.3), (side * 0.43, 0.0), (side * 0.42, 0.25)]
        s.limb(arm, (0.18, 0.12), skin)
        s.ellipse(*arm[2], 0.08, 0.08, skin)
        s.limb(arm[:2], (0.21, 0.17), tint(shirt, -0.12))
    s.blob([(-0.32, -0.38), (0, -0.44), (0.32, -0.38), (0.3, 0.0), (0.28, 0.26), (-0.28, 0.26),
            (-0.3, 0.0)], shirt)
    s.limb([(0, -0.5), (0, -0.4)], 0.16, tint(skin, -0.15))
    s.ellipse(0, -0.7, 0.2, 0.24, skin)
    s.blob([(-0.22, -0.68), (-0.2, -0.9), (0, -1.0), (0.2, -0.9), (0.22, -0.68), (0.12, -0.82),
            (-0.1, -0.84)], hair)
    for x in (-0.08, 0.08):
        s.ellipse(x, -0.68, 0.027, 0.034, DARK)
    s.limb([(-0.07, -0.57), (0, -0.545), (0.07, -0.57)], 0.03, (170, 70, 70))


def sheep(s: Sketch, rng: np.random.Generator) -> None:
    """A sheep: a cloud of cream wool on thin legs."""
    wool = pick(rng, [(240, 232, 212), (226, 216, 196)], 8)
    face = pick(rng, [(44, 38, 40), (60, 48, 44)], 8)
    for x in (-0.42, -0.28, 0.24, 0.4):
        s.limb([(x, 0.3), (x, 0.95)], 0.11, face)
    around = np.linspace(0, 2 * np.pi, 13, endpoint=False) + rng.uniform(0, 0.5)
    for a in around:
        s.ellipse(0.66 * np.cos(a) - 0.08, 0.4 * np.sin(a) + 0.05, 0.22, 0.21, tint(wool, -0.1))
    s.ellipse(-0.08, 0.03, 0.72, 0.46, wool)
    for row, y in enumerate((-0.26, -0.02, 0.22)):
        for x in np.arange(-0.58, 0.42, 0.25) + 0.12 * (row % 2):
            s.limb([(x - 0.09, y - 0.02), (x, y + 0.06),
                    (x + 0.09, y - 0.02)], 0.045, tint(wool, -0.3))
    s.ellipse(0.5, -0.2, 0.15, 0.07, tint(face, -0.2), 25)
    s.blob([(0.58, -0.4), (0.82, -0.4), (0.98, -0.1), (0.96, 0.08), (0.8, 0.08),
            (0.62, -0.1)], face)
    for x, y, r in ((0.58, -0.42, 0.15), (0.72, -0.47, 0.14), (0.82, -0.4, 0.1)):
        s.ellipse(x, y, r, r * 0.9, wool)
    s.eye(0.8, -0.22, 0.05, (20, 18, 20))
