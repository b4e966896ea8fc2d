"""The built-in sample: VOC's layout, ground truth that agrees with itself, and the same bytes."""

import itertools
import multiprocessing
import re
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common import sample
from common.drawings import Sketch
from common.sample import make_sample
from common.sample_scenes import (
    DIFFICULT_BELOW_AREA,
    DIFFICULT_BELOW_SHARE,
    DRAWINGS,
    draw_object,
    draw_scene,
)

VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()
SIZES = {"train": 12, "val": 6, "test": 10}


def files_of(folder: Path) -> dict[str, bytes]:
    """{path inside `folder`: content} of everything below it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def voc(tmp_path_factory) -> Path:
    return make_sample(tmp_path_factory.mktemp("sample"), **SIZES)


def test_layout_is_vocs(voc):
    assert voc.parts[-2:] == ("VOCdevkit", "VOC2007")
    ids = [f"{i:06d}" for i in range(1, 29)]
    splits = {"train": ids[:12], "val": ids[12:18], "trainval": ids[:18], "test": ids[18:]}
    expected = {f"JPEGImages/{i}.jpg" for i in ids} | {f"Annotations/{i}.xml" for i in ids}
    for split, members in splits.items():
        main = voc / "ImageSets" / "Main"
        assert (main / f"{split}.txt").read_text() == "".join(f"{i}\n" for i in members)
        expected.add(f"ImageSets/Main/{split}.txt")
        for name in VOC_CLASSES:
            lines = (main / f"{name}_{split}.txt").read_text().splitlines()
            assert [line[:6] for line in lines] == members
            assert {line[6:] for line in lines} <= {"  1", "  0", " -1"}
            expected.add(f"ImageSets/Main/{name}_{split}.txt")
    assert set(files_of(voc)) == expected


def test_images_are_jpegs_of_the_annotated_size(voc):
    shapes = set()
    for path in (voc / "JPEGImages").iterdir():
        root = ElementTree.parse(voc / "Annotations" / f"{path.stem}.xml").getroot()
        with Image.open(path) as image:
            image.load()
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert min(image.size) >= 240
        assert image.size == (int(root.findtext("size/width")), int(root.findtext("size/height")))
        assert root.findtext("filename") == path.name
        shapes.add(image.size)
    assert len(shapes) > 3


def test_boxes_lie_in_the_image_and_flags_are_flags(voc):
    for path in (voc / "Annotations").iterdir():
        root = ElementTree.parse(path).getroot()
        width, height = int(root.findtext("size/width")), int(root.findtext("size/height"))
        objects = root.findall("object")
        assert objects, f"{path.name}: an image with nothing on it"
        for item in objects:
            left, top, right, bottom = (
                int(item.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")
            )
            assert 1 <= left <= right <= width
            assert 1 <= top <= bottom <= height
            assert item.findtext("pose") in {"Left", "Right", "Frontal"}
            for flag in ("truncated", "occluded", "difficult"):
                assert item.findtext(flag) in {"0", "1"}


def test_class_lists_follow_from_the_annotations(voc):
    for split, name in itertools.product(("train", "val", "trainval", "test"), VOC_CLASSES):
        for line in (voc / f"ImageSets/Main/{name}_{split}.txt").read_text().splitlines():
            image_id, value = line.split()
            root = ElementTree.parse(voc / "Annotations" / f"{image_id}.xml").getroot()
            flags = [o.findtext("difficult") for o in root.iter("object") if o.findtext("name") == name]
            expected = "1" if "0" in flags else "0" if flags else "-1"
            assert value == expected, (image_id, name)


def test_every_class_is_on_twenty_pictures_in_a_row():
    seen = {s.name for i in range(1, 21) for s in draw_scene(0, i)[1]}
    assert seen == set(VOC_CLASSES)


def test_same_seed_same_bytes_other_seed_other_pictures(tmp_path, voc):
    assert files_of(make_sample(tmp_path / "again", **SIZES)) == files_of(voc)
    other = files_of(make_sample(tmp_path / "other", seed=1, **SIZES))
    pictures = [name for name in other if name.endswith(".jpg")]
    assert not any(other[name] == (voc / name).read_bytes() for name in pictures)


def test_a_picture_depends_on_seed_and_number_alone(tmp_path, voc):
    larger = make_sample(tmp_path, train=14, val=6, test=10)
    for name in ("000001.jpg", "000013.jpg", "000028.jpg"):
        assert (larger / "JPEGImages" / name).read_bytes() == (voc / "JPEGImages" / name).read_bytes()


def test_processes_draw_the_same(tmp_path, voc, monkeypatch):
    monkeypatch.setattr(sample, "IN_ONE_PROCESS_UP_TO", 0)
    monkeypatch.setattr(sample.os, "cpu_count", lambda: 2)
    assert files_of(make_sample(tmp_path, **SIZES)) == files_of(voc)


def test_draws_alone_where_processes_cannot_start(tmp_path, voc, monkeypatch):
    monkeypatch.setattr(sample, "IN_ONE_PROCESS_UP_TO", 0)
    monkeypatch.setattr(sample.os, "cpu_count", lambda: 2)
    # As when a program is piped into python: the child looks for a file of that name.
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "<stdin>"), raising=False)
    assert files_of(make_sample(tmp_path / "root", **SIZES)) == files_of(voc)


def test_second_call_writes_nothing(tmp_path, monkeypatch):
    small = {"train": 2, "val": 1, "test": 1}
    first = make_sample(tmp_path, **small)
    monkeypatch.setattr(sample, "draw_scene", None)
    assert make_sample(tmp_path, **small) == first


def test_seed_sizes_and_drawings_name_the_folder(tmp_path, monkeypatch):
    small = {"train": 2, "val": 1, "test": 1}
    places = {make_sample(tmp_path, **small), make_sample(tmp_path, **small, seed=1)}
    places.add(make_sample(tmp_path, **{**small, "test": 2}))
    monkeypatch.setattr(sample, "_drawings_version", lambda: "changed")
    places.add(make_sample(tmp_path, **small))
    assert len(places) == 4


def test_a_sample_with_a_missing_file_is_made_anew(tmp_path):
    small = {"train": 2, "val": 1, "test": 1}
    voc = make_sample(tmp_path, **small)
    before = files_of(voc)
    (voc / "JPEGImages" / "000003.jpg").unlink()
    assert files_of(make_sample(tmp_path, **small)) == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(sample, "draw_scene", full_disk)
    with pytest.raises(OSError, match="no space"):
        make_sample(tmp_path, train=1, val=1, test=1)
    assert list(tmp_path.iterdir()) == []


def test_parallel_writers_all_succeed(tmp_path):
    small = {"train": 6, "val": 3, "test": 3}
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=make_sample, args=(tmp_path,), kwargs=small) for _ in range(2)]
    for writer in writers:
        writer.start()
    with ThreadPoolExecutor(2) as pool:
        places = set(pool.map(lambda _: make_sample(tmp_path, **small), range(4)))
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    (place,) = places
    assert len(files_of(place)) == 2 * 12 + 4 * 21
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_empty_split_is_refused(tmp_path, split):
    with pytest.raises(ValueError, match=f"{split}=0"):
        make_sample(tmp_path, **{**SIZES, split: 0})
    assert list(tmp_path.iterdir()) == []


def test_classes_are_drawn_and_differ():
    assert list(DRAWINGS) == VOC_CLASSES == sorted(VOC_CLASSES)
    drawn = {}
    for name in DRAWINGS:
        picture = draw_object(name, 32.0, np.random.default_rng(0))
        assert picture.mode == "RGBA"
        solid = np.asarray(picture.getchannel("A")) > 127
        assert solid.mean() > 0.1, name
        assert len(np.unique(np.asarray(picture)[solid], axis=0)) > 20, name
        drawn[name] = np.asarray(picture.resize((32, 32)), dtype=np.int16)
    for one, other in itertools.combinations(DRAWINGS, 2):
        assert np.abs(drawn[one] - drawn[other]).mean() > 8, (one, other)


def test_mirror_mirrors_and_unit_scales():
    def alpha(**options):
        picture = draw_object("car", rng=np.random.default_rng(3), **{"unit": 40.0, **options})
        return np.asarray(picture.getchannel("A"), dtype=np.int16)

    plain = alpha()
    mirrored = alpha(mirror=True)[:, ::-1]
    rows, columns = np.minimum(plain.shape, mirrored.shape)
    difference = np.abs(plain[:rows, :columns] - mirrored[:rows, :columns])
    assert difference.mean() < 12  # the two fall on the pixel grid differently
    assert alpha(unit=80.0).shape[1] == pytest.approx(2 * plain.shape[1], abs=3)


def test_an_empty_sketch_is_refused():
    with pytest.raises(ValueError, match="nothing was drawn"):
        Sketch(10.0).finish()


def test_difficult_means_little_to_see():
    scenes = [draw_scene(5, i) for i in range(100)]
    sightings = [(s, image.width * image.height) for image, seen in scenes for s in seen]
    for s, pixels in sightings:
        low = s.visible_share < DIFFICULT_BELOW_SHARE or s.visible_area < DIFFICULT_BELOW_AREA
        assert s.difficult == low
        assert 0 < s.visible_share <= 1
        if s.visible_share < 0.9:
            assert s.truncated or s.occluded
        box_area = (s.box[2] - s.box[0]) * (s.box[3] - s.box[1])
        assert round(s.visible_area * pixels) <= box_area
    difficult = sum(s.difficult for s, _ in sightings) / len(sightings)
    assert 0.02 < difficult < 0.15


def test_needs_no_tensorflow():
    sources = [*Path(sample.__file__).parent.glob("sample*.py")]
    sources += Path(sample.__file__).parent.glob("drawings*.py")
    assert len(sources) >= 4
    for path in sources:
        assert not re.search(r"^\s*(import|from) (tensorflow|keras)", path.read_text(), re.MULTILINE)
