"""Decoded images on disk: each image is decoded and resized once, then memory-mapped at every start."""

import hashlib
import io
import json
import os
import struct
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from tqdm import tqdm

from common.errors import UserError
from common.files import replacing

# Twice the pixels from which Pillow warns is where it refuses. Below that an image is merely large.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


# How EXIF's orientations stand upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImageError(Exception):
    """An image can't be decoded; the message says why, without naming the image."""


def upright(image: Image.Image) -> Image.Image:
    """A photo turned as its EXIF says.

    Pillow's own `exif_transpose` also writes the other EXIF back, and fails where that is odd.
    """
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    return image if turn is None else image.transpose(turn)


def decode_jpeg(path: Path, size: int) -> np.ndarray:
    """Decodes a JPEG and resizes it, without keeping its aspect, to `size` x `size`.

    Grey and CMYK images become RGB, a rotation noted in EXIF is carried out, and an image of a single
    pixel is an image like any other.

    Args:
        path: the file.
        size: pixels along each side of the result.

    Returns:
        uint8 (size, size, 3), RGB, 0 to 255.

    Raises:
        BadImageError: missing, empty, truncated, damaged, not a JPEG, or over 179 million pixels.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadImageError(f"can't be read ({error.strerror})") from error
    if not data:
        raise BadImageError("is empty")
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            image = upright(image).convert("RGB")
            return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    except UnidentifiedImageError as error:
        raise BadImageError("is not a JPEG") from error
    except Image.DecompressionBombError as error:
        raise BadImageError("has more pixels than a photo can have") from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:  # Pillow's ways to say "damaged"
        raise BadImageError(f"is damaged ({error})") from error


def _stamp(path: Path) -> str:
    """Name, size and modification time of a file; a missing file has a stamp of its own."""
    try:
        status = path.stat()
    except OSError:
        return f"{path.name} missing"
    return f"{path.name} {status.st_size} {status.st_mtime_ns}"


def cached_images(
    cache_dir: Path,
    paths: Sequence[Path],
    size: int,
    skip_bad: bool = False,
    remedy: str = "replace it",
) -> tuple[np.ndarray, np.ndarray]:
    """Decoded images, from the cache or by decoding them into it.

    Args:
        cache_dir: folder of the cache; made if need be.
        paths: the JPEG files. Another list, name, size or date of any decodes anew.
        size: pixels along each side.
        skip_bad: leave out images that can't be decoded, and say how many, instead of raising.
        remedy: what the error says to do about one that can't be decoded.

    Returns:
        images: uint8 (N, size, size, 3) RGB, memory-mapped and read-only; N images could be decoded.
        kept: bool (len(paths),), False where an image was left out.

    Raises:
        UserError: an image can't be decoded and `skip_bad` is False, none can be, or the cache can't
            be written.
    """
    material = json.dumps([[_stamp(path) for path in paths], size, skip_bad, "bilinear"])
    stem = hashlib.sha256(material.encode()).hexdigest()[:20]
    path = cache_dir / f"images-{stem}.npy"
    skipped_path = cache_dir / f"images-{stem}.skipped.json"
    images, skipped = _open(path, size), _read_skipped(skipped_path)
    if images is None or (len(images) < len(paths) and len(images) + len(skipped) != len(paths)):
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            _decode_into(path, skipped_path, paths, size, skip_bad, remedy)
        except OSError as error:
            raise UserError(
                f"{cache_dir}: can't write decoded images ({error.strerror}); "
                f"{len(paths) * size * size * 3 / 1e9:.1f} GB are needed, --cache_dir names another folder"
            ) from error
        images, skipped = np.load(path, mmap_mode="r"), _read_skipped(skipped_path)
    kept = np.ones(len(paths), bool)
    if len(images) < len(paths):
        kept[skipped] = False
        print(f"images that can't be read and are left out: {len(skipped):,}", file=sys.stderr)
    return images, kept


def _open(cache_file: Path, size: int) -> np.ndarray | None:
    """The images of a cache file; None where there is none, or it is damaged."""
    try:
        images = np.load(cache_file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return images if images.dtype == np.uint8 and images.shape[1:] == (size, size, 3) else None


def _read_skipped(skipped_file: Path) -> list[int]:
    """Numbers of the images that were left out; none where there is no list, or it is damaged."""
    try:
        skipped = json.loads(skipped_file.read_text())
    except (OSError, ValueError):
        return []
    return skipped if isinstance(skipped, list) else []


def _decode_all(paths: Sequence[Path], size: int) -> Iterator[np.ndarray | BadImageError]:
    """Decodes in parallel, yields in order, and holds only a few images at a time."""

    def decode(path: Path) -> np.ndarray | BadImageError:
        try:
            return decode_jpeg(path, size)
        except BadImageError as error:
            return error

    workers = os.cpu_count() or 1
    window = 16 * workers
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), window):
            yield from pool.map(decode, paths[start : start + window])


def _decode_into(
    cache_file: Path, skipped_file: Path, paths: Sequence[Path], size: int, skip_bad: bool, remedy: str
) -> None:
    """Writes the .npy file of all images that can be decoded, and a list of the others' numbers."""
    bad: list[int] = []
    # Plain writes and not a memory map: on a full disk a write raises, a mapped page kills the process.
    with replacing(cache_file) as file:
        _write_header(file, len(paths), size)
        images = _decode_all(paths, size)
        bar = tqdm(images, "decoding", len(paths), unit=" images", disable=None, leave=False)
        for index, image in enumerate(bar):
            if not isinstance(image, BadImageError):
                file.write(image.data)
            elif skip_bad:
                print(f"{paths[index]}: {image}", file=sys.stderr)
                bad.append(index)
            else:
                raise UserError(f"{paths[index]}: {image}; {remedy}")
        if len(bad) == len(paths):
            raise UserError(f"{paths[0]}: none of {len(paths):,} images can be read")
        file.seek(0)
        _write_header(file, len(paths) - len(bad), size)
        if bad:  # before the images take their place, so that they are never seen without this
            with replacing(skipped_file) as skipped:
                skipped.write(json.dumps(bad).encode())


def _write_header(file: BinaryIO, count: int, size: int) -> None:
    """Of a .npy file; NumPy pads it so that any `count` takes the same room."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    np.lib.format.write_array_header_1_0(file, header)
