"""The built-in sample: a small data set of drawings in the exact layout of PASCAL VOC 2007.

It lets every script run before VOC itself is downloaded. Image i depends on (seed, i) alone, so the
same seed gives the same bytes however many processes draw it.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from common.sample_scenes import Sighting, draw_scene
from common.voc_layout import CLASSES, SPLITS, Objects, only_difficult, write_lists

# Up to here starting processes takes longer than drawing.
IN_ONE_PROCESS_UP_TO = 200
JPEG_QUALITY = 90


def make_sample(root: Path, seed: int = 0, train: int = 1200, val: int = 300, test: int = 500) -> Path:
    """Makes the sample, unless it is there already, and returns its `VOC2007` folder.

    It is written beside its place and moved there when complete, so that it is never seen half made
    and several processes may ask for it at once. The folder under `root` is named for the
    drawings, the seed and the sizes: when one of them changes, a new sample is made.

    Args:
        root: where samples are kept; made if need be.
        seed: another one gives other pictures.
        train: number of images of the split; trainval is train and val. The same for the next two.
        val: see train.
        test: see train.

    Raises:
        ValueError: a split would be empty.
        OSError: `root` can't be written.
    """
    if min(train, val, test) < 1:
        raise ValueError(f"every split needs an image, not train={train}, val={val}, test={test}")
    root = Path(root)
    place = root / f"sample-{_drawings_version()}-seed{seed}-{train}-{val}-{test}"
    total = train + val + test
    voc = Path("VOCdevkit", "VOC2007")
    if _is_complete(place / voc, total):
        return place / voc
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-", ignore_cleanup_errors=True) as aside:
        made = Path(aside, place.name)
        for folder in ("JPEGImages", "Annotations"):
            (made / voc / folder).mkdir(parents=True)
        objects = _draw_all(made / voc, seed, total)
        ids = sorted(objects)
        write_lists(made / voc, ids[:train], ids[train : train + val], ids[train + val :], objects)
        _move(made, place, partial(_is_complete, place / voc, total))
    return place / voc


def _drawings_version() -> str:
    """A digest of the source that draws the pictures."""
    here = Path(__file__).parent
    sources = sorted([*here.glob("drawings*.py"), *here.glob("sample*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]


def _is_complete(voc: Path, total: int) -> bool:
    """Whether no file is missing from the sample."""
    lists = len(SPLITS) * (len(CLASSES) + 1)
    expected = {"JPEGImages": total, "Annotations": total, "ImageSets/Main": lists}
    return all(
        (voc / name).is_dir() and sum(1 for _ in (voc / name).iterdir()) == count
        for name, count in expected.items()
    )


def _move(made: Path, place: Path, is_complete: Callable[[], bool]) -> None:
    """Renames `made` to `place`; another process may have been quicker."""
    while True:
        try:
            os.rename(made, place)
            return
        except OSError:
            if is_complete():
                return
            if not place.exists():
                raise
        # Someone has deleted some of its files: out of the way, to be removed with the rest.
        with suppress(FileNotFoundError):
            os.rename(place, made.with_name("incomplete"))


def _draw_all(voc: Path, seed: int, total: int) -> dict[str, Objects]:
    """Writes all images and annotations, on all cores if that is worth it."""
    draw = partial(_write_image, voc, seed)
    indices = range(1, total + 1)
    progress = partial(tqdm, total=total, desc="drawing the sample", unit="image", disable=None)
    workers = min(os.cpu_count() or 1, 8)
    if total > IN_ONE_PROCESS_UP_TO and workers > 1:
        # Spawned, not forked: a fork copies TensorFlow's locks in whatever state they are.
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        # Spawning fails where the main program can't be imported again: piped into python, or
        # without `if __name__ == "__main__"`. What is drawn doesn't depend on who draws it.
        with suppress(BrokenProcessPool), pool:
            return dict(progress(pool.map(draw, indices, chunksize=20)))
    return dict(draw(index) for index in progress(indices))


def _write_image(voc: Path, seed: int, index: int) -> tuple[str, Objects]:
    """Draws one image, writes it and its annotation, and returns its id and what is on it."""
    image_id = f"{index:06d}"
    image, sightings = draw_scene(seed, index)
    image.save(voc / "JPEGImages" / f"{image_id}.jpg", quality=JPEG_QUALITY)
    (voc / "Annotations" / f"{image_id}.xml").write_text(_annotation(image_id, image, sightings))
    return image_id, only_difficult((sighting.name, sighting.difficult) for sighting in sightings)


def _annotation(image_id: str, image: Image.Image, sightings: list[Sighting]) -> str:
    """The annotation as VOC writes it: pixels count from 1, the last one belongs to the box."""
    objects = "".join(
        f"""\t<object>
\t\t<name>{sighting.name}</name>
\t\t<pose>{sighting.pose}</pose>
\t\t<truncated>{sighting.truncated:d}</truncated>
\t\t<occluded>{sighting.occluded:d}</occluded>
\t\t<difficult>{sighting.difficult:d}</difficult>
\t\t<bndbox>
\t\t\t<xmin>{sighting.box[0] + 1}</xmin>
\t\t\t<ymin>{sighting.box[1] + 1}</ymin>
\t\t\t<xmax>{sighting.box[2]}</xmax>
\t\t\t<ymax>{sighting.box[3]}</ymax>
\t\t</bndbox>
\t</object>
"""
        for sighting in sightings
    )
    return f"""<annotation>
\t<folder>VOC2007</folder>
\t<filename>{image_id}.jpg</filename>
\t<source>
\t\t<database>Built-in sample of drawings</database>
\t\t<annotation>PASCAL VOC2007</annotation>
\t</source>
\t<size>
\t\t<width>{image.width}</width>
\t\t<height>{image.height}</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
{objects}</annotation>
"""
