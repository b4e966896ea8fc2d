"""The drawing kit of the built-in sample: a transparent sheet of paper and the strokes on it.

Everything is drawn in unit coordinates: the origin is the middle of the object, x runs to the
right and y down, and an object fills about [-1, 1] both ways, standing on y = 1 and looking to the
right. One affine map then places, sizes, turns and mirrors it.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

# Objects are drawn this many times larger and then averaged down: smooth edges at little cost.
OVERSAMPLING = 2
# A turned or stretched object may stick out of its unit square by this much.
REACH = 1.4

_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)  # (28, 2)
_T = np.linspace(0, 1, 6, endpoint=False)[:, None]
# Catmull-Rom: the weight of the four neighbouring points at six places between the inner two.
_SPLINE = 0.5 * np.hstack(  # (6, 4)
    [
        -_T + 2 * _T**2 - _T**3,
        2 - 5 * _T**2 + 3 * _T**3,
        _T + 4 * _T**2 - 3 * _T**3,
        -(_T**2) + _T**3,
    ]
)

DARK: Colour = (38, 36, 42)
WHITE: Colour = (245, 244, 240)
GLASS: Colour = (166, 205, 224)


def tint(colour: Colour, amount: float) -> Colour:
    """`colour` made lighter (amount in 0..1, 1 is white) or darker (-1..0, -1 is black)."""
    goal = 255 if amount > 0 else 0
    return tuple(round(c + (goal - c) * abs(amount)) for c in colour)


def pick(rng: np.random.Generator, palette: Sequence[Colour], spread: int = 16) -> Colour:
    """One colour of `palette`, each channel moved by at most `spread`."""
    base = palette[int(rng.integers(len(palette)))]
    shift = rng.integers(-spread, spread + 1, 3)
    return tuple(min(255, max(0, int(c + s))) for c, s in zip(base, shift, strict=True))


def _through(points: np.ndarray, closed: bool) -> np.ndarray:
    """A smooth curve (M, 2) through `points` (N, 2)."""
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([points[:1], points, points[-1:]])
    windows = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)])  # (4, segments, 2)
    curve = np.einsum("tk,ksd->std", _SPLINE, windows).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


class Sketch:
    """A transparent picture and the affine map from unit coordinates to its pixels.

    `unit` is the length of 1 in pixels of the finished picture, `rotation` is in degrees (positive
    turns clockwise), `mirror` makes the object look to the left, `stretch` > 1 makes it wider and
    lower.
    """

    def __init__(self, unit: float, rotation: float = 0.0, mirror: bool = False, stretch: float = 1.0):
        self._unit = unit * OVERSAMPLING
        half = math.ceil(REACH * unit) * OVERSAMPLING
        self._image = Image.new("RGBA", (2 * half, 2 * half))
        self._draw = ImageDraw.Draw(self._image)
        turn = math.radians(rotation)
        rotate = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        scale = np.diag([-stretch if mirror else stretch, 1 / stretch])
        self._matrix = (rotate @ scale * self._unit).T
        self._origin = half

    def polygon(self, points: Points | np.ndarray, colour: Colour) -> None:
        """Fill the polygon with corners `points` (N, 2)."""
        pixels = np.asarray(points, dtype=float) @ self._matrix + self._origin
        self._draw.polygon(pixels.ravel().tolist(), fill=colour)

    def blob(self, points: Points, colour: Colour) -> None:
        """Fill the smooth closed curve through `points`."""
        self.polygon(_through(np.asarray(points, dtype=float), closed=True), colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, angle: float = 0.0) -> None:
        """Fill the ellipse around (x, y), turned by `angle` degrees."""
        points = _CIRCLE * (rx, ry)
        if angle:
            c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            points = points @ np.array([[c, s], [-s, c]])
        self.polygon(points + (x, y), colour)

    def box(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        corner: float = 0,
    ) -> None:
        """Fill a rectangle whose corners are rounded with the radius `corner`."""
        if not corner:
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            return self.polygon(corners, colour)
        centres = [
            (right - corner, bottom - corner),
            (left + corner, bottom - corner),
            (left + corner, top + corner),
            (right - corner, top + corner),
        ]
        arcs = [_CIRCLE[7 * i : 7 * i + 8] if i < 3 else _CIRCLE[21:] for i in range(4)]
        pairs = zip(arcs, centres, strict=True)
        self.polygon(np.concatenate([a * corner + c for a, c in pairs]), colour)

    def limb(self, points: Points, width: float | tuple[float, float], colour: Colour) -> None:
        """A smooth stroke with round ends along `points`; `width` may change from start to end."""
        line = np.asarray(points, dtype=float)
        if len(line) > 2:
            line = _through(line, closed=False)
        start, end = width if isinstance(width, tuple) else (width, width)
        along = np.concatenate([line[1:2] - line[:1], line[2:] - line[:-2], line[-1:] - line[-2:-1]])
        normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
        normal /= np.maximum(np.hypot(normal[:, 0], normal[:, 1]), 1e-9)[:, None]
        offset = normal * np.linspace(start / 2, end / 2, len(line))[:, None]
        self.polygon(np.concatenate([line + offset, (line - offset)[::-1]]), colour)
        # Round ends on thin strokes would cost time and not be seen.
        for (x, y), thickness in ((line[0], start), (line[-1], end)):
            if thickness * self._unit > 4:
                self.ellipse(x, y, thickness / 2, thickness / 2, colour)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour) -> None:
        """A circle whose middle stays transparent."""
        outer, inner = _CIRCLE * radius, _CIRCLE * (radius - width)
        ends = [outer, outer[:1], inner[:1], inner[::-1]]
        self.polygon(np.concatenate(ends) + (x, y), colour)

    def wheel(self, x: float, y: float, radius: float, hub: Colour = (190, 190, 196)) -> None:
        """A car's wheel: a tyre, a rim and a hub."""
        self.ellipse(x, y, radius, radius, (34, 34, 38))
        self.ellipse(x, y, radius * 0.58, radius * 0.58, hub)
        self.ellipse(x, y, radius * 0.2, radius * 0.2, tint(hub, -0.5))

    def eye(self, x: float, y: float, radius: float, colour: Colour = DARK) -> None:
        """An eye with a glint."""
        self.ellipse(x, y, radius, radius, colour)
        self.ellipse(x + radius * 0.3, y - radius * 0.35, radius * 0.35, radius * 0.35, WHITE)

    def finish(self) -> Image.Image:
        """The drawing, RGBA, cut to what is drawn and averaged down to its final size.

        Raises ValueError if nothing was drawn.
        """
        box = self._image.getbbox()
        if box is None:
            raise ValueError("nothing was drawn")
        return self._image.crop(box).reduce(OVERSAMPLING)
