"""Decoding of every kind of JPEG, good and bad, and the cache on disk."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common import image_cache
from common.errors import UserError
from common.image_cache import BadImageError, cached_images, decode_jpeg

ROOT = Path(__file__).resolve().parents[1]
SIZE = 8


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def by_pillow(path: Path, size: int = SIZE) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def decoded(tmp_path: Path, content: bytes, size: int = SIZE) -> np.ndarray:
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    return decode_jpeg(path, size)


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    """Five images of different shapes, less than twice SIZE."""
    paths = [tmp_path / f"{number}.jpg" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(encoded(noise(9 + number, 15 - number, number)))
    return paths


@pytest.fixture
def decodes(monkeypatch) -> list[str]:
    """Names of the files decoded so far."""
    names = []

    def decode(path, size):
        names.append(path.name)
        return decode_jpeg(path, size)

    monkeypatch.setattr(image_cache, "decode_jpeg", decode)
    return names


# ---- decoding


def test_grey_becomes_rgb(tmp_path):
    image = decoded(tmp_path, encoded(Image.new("L", (20, 10), 77)))
    assert (image.shape, image.dtype) == ((SIZE, SIZE, 3), np.uint8)
    np.testing.assert_allclose(image, 77, atol=1)


def test_cmyk_becomes_rgb(tmp_path):
    image = decoded(tmp_path, encoded(Image.new("CMYK", (20, 10), (0, 255, 255, 0))))
    np.testing.assert_allclose(image, np.broadcast_to([255, 0, 0], image.shape), atol=3)


def test_channels_are_red_green_blue(tmp_path):
    image = decoded(tmp_path, encoded(Image.new("RGB", (20, 10), (200, 100, 50))))
    np.testing.assert_allclose(image, np.broadcast_to([200, 100, 50], image.shape), atol=3)


def test_a_single_pixel_fills_the_image(tmp_path):
    image = decoded(tmp_path, encoded(Image.new("RGB", (1, 1), (200, 100, 50))))
    np.testing.assert_allclose(image, np.broadcast_to([200, 100, 50], (SIZE, SIZE, 3)), atol=3)


def test_a_rotation_in_exif_is_carried_out(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row of the file is the right side of the picture
    lying = Image.new("L", (32, 32), 255)
    lying.paste(0, (0, 0, 16, 32))  # left half black
    image = decoded(tmp_path, encoded(lying, exif=exif))
    np.testing.assert_allclose(image[: SIZE // 2 - 1], 0, atol=8)
    np.testing.assert_allclose(image[SIZE // 2 + 1 :], 255, atol=8)


def test_a_large_photo_keeps_its_picture(tmp_path):
    small = noise(5, 4)
    large = small.resize((500, 400), Image.Resampling.BICUBIC)
    image = decoded(tmp_path, encoded(large, quality=95))
    expected = np.asarray(large.resize((SIZE, SIZE), Image.Resampling.BILINEAR), np.float32)
    assert np.abs(image - expected).mean() < 8


def huge_jpeg() -> bytes:
    """A small JPEG whose header claims 60,000 x 60,000 pixels."""
    content = bytearray(encoded(noise(8, 8)))
    frame = content.index(b"\xff\xc0")  # marker, length (2), precision (1), height (2), width (2)
    content[frame + 5 : frame + 9] = (60_000).to_bytes(2, "big") * 2
    return bytes(content)


BAD = {
    "empty": (b"", "is empty"),
    "truncated": (encoded(noise(64, 64))[:2000], "is damaged ("),
    "only a header": (encoded(noise(64, 64))[:20], "is not a JPEG"),
    "text": (b"<html>404 Not Found</html>\n", "is not a JPEG"),
    "a PNG": (encoded(noise(8, 8), "PNG"), "is not a JPEG"),
    "a GIF": (encoded(noise(8, 8), "GIF"), "is not a JPEG"),
    "huge": (huge_jpeg(), "has more pixels"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_a_bad_image_is_refused_with_one_line(tmp_path, content, reason):
    with pytest.raises(BadImageError) as raised:
        decoded(tmp_path, content)
    assert str(raised.value).startswith(reason) and "\n" not in str(raised.value)


def test_a_missing_image_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(BadImageError, match="can't be read"):
            decode_jpeg(path, SIZE)


def test_nonsense_in_exif_is_no_crash(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    content = encoded(noise(16, 16), exif=exif)
    nonsense = content.replace(b"\x01\x0f\x00\x02", b"\x01\x00\x00\x02")  # text for an image width
    assert nonsense != content
    with contextlib.suppress(BadImageError):
        assert decoded(tmp_path, nonsense).shape == (SIZE, SIZE, 3)


# ---- the cache


def test_images_equal_pillows_own(photos, tmp_path):
    images, kept = cached_images(tmp_path / "cache", photos, SIZE)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, np.stack([by_pillow(path) for path in photos]))
    assert kept.dtype == bool and kept.tolist() == [True] * 5


def test_more_images_than_are_decoded_at_a_time_stay_in_order(tmp_path):
    content = [encoded(Image.new("L", (SIZE, SIZE), shade)) for shade in range(256)]
    paths = [tmp_path / f"{shade}.jpg" for shade in range(256)]
    for path, jpeg in zip(paths, content, strict=True):
        path.write_bytes(jpeg)
    images, _ = cached_images(tmp_path / "cache", paths, SIZE)
    np.testing.assert_allclose(images[:, 0, 0, 0].astype(int), np.arange(256), atol=1)


def test_images_are_mapped_and_read_only(photos, tmp_path):
    images, _ = cached_images(tmp_path / "cache", photos, SIZE)
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_the_second_call_decodes_nothing(photos, tmp_path, decodes):
    first, _ = cached_images(tmp_path / "cache", photos, SIZE)
    assert sorted(decodes) == [path.name for path in photos]
    second, kept = cached_images(tmp_path / "cache", photos, SIZE)
    assert len(decodes) == 5
    assert kept.all()
    np.testing.assert_array_equal(first, second)


def touch(paths):
    status = paths[1].stat()
    os.utime(paths[1], ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
    return paths, SIZE


def rewrite(paths):
    paths[1].write_bytes(encoded(noise(10, 10, 99)))
    return paths, SIZE


def add(paths):
    paths[0].with_name("9.jpg").write_bytes(encoded(noise(10, 10, 9)))
    return [*paths, paths[0].with_name("9.jpg")], SIZE


CHANGES = {
    "date": touch,
    "content": rewrite,
    "another image": add,
    "an image less": lambda paths: (paths[:-1], SIZE),
    "order": lambda paths: (paths[::-1], SIZE),
    "size": lambda paths: (paths, SIZE + 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_decodes_anew(photos, tmp_path, decodes, change):
    cached_images(tmp_path / "cache", photos, SIZE)
    decodes.clear()
    paths, size = change(photos)
    images, _ = cached_images(tmp_path / "cache", paths, size)
    assert sorted(decodes) == sorted(path.name for path in paths)
    np.testing.assert_array_equal(images, np.stack([by_pillow(path, size) for path in paths]))


def test_an_image_deleted_since_is_noticed(photos, tmp_path):
    cached_images(tmp_path / "cache", photos, SIZE)
    photos[2].unlink()
    with pytest.raises(UserError, match=f"^{photos[2]}: "):
        cached_images(tmp_path / "cache", photos, SIZE)


@pytest.mark.parametrize("content", [None, *(content for content, _ in BAD.values())], ids=["missing", *BAD])
def test_without_skipping_a_bad_image_is_named_and_no_file_left(photos, tmp_path, content):
    photos[3].unlink() if content is None else photos[3].write_bytes(content)
    with pytest.raises(UserError) as raised:
        cached_images(tmp_path / "cache", photos, SIZE)
    message = str(raised.value)
    assert message.startswith(f"{photos[3]}: ") and "\n" not in message
    assert list((tmp_path / "cache").iterdir()) == []


def test_skipping_leaves_out_and_reports_the_first_time_and_after(photos, tmp_path, decodes, capsys):
    photos[0].unlink()
    photos[3].write_bytes(b"")
    good = [photos[1], photos[2], photos[4]]
    for call in (1, 2):
        images, kept = cached_images(tmp_path / "cache", photos, SIZE, skip_bad=True)
        assert kept.tolist() == [False, True, True, False, True]
        np.testing.assert_array_equal(images, np.stack([by_pillow(path) for path in good]))
        report = capsys.readouterr().err
        assert "left out: 2\n" in report
        if call == 1:
            assert str(photos[0]) in report and str(photos[3]) in report
    assert len(decodes) == 5


def test_what_was_skipped_is_not_left_out_without_skipping(photos, tmp_path):
    photos[3].write_bytes(b"")
    cached_images(tmp_path / "cache", photos, SIZE, skip_bad=True)
    with pytest.raises(UserError, match=f"^{photos[3]}: "):
        cached_images(tmp_path / "cache", photos, SIZE)


def test_skipping_every_image_is_an_error(photos, tmp_path):
    for path in photos:
        path.write_bytes(b"no")
    with pytest.raises(UserError, match="none of 5 images"):
        cached_images(tmp_path / "cache", photos, SIZE, skip_bad=True)
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_interrupted_build_leaves_nothing_behind(photos, tmp_path, monkeypatch):
    def decode(path, size):
        if path == photos[3]:
            raise KeyboardInterrupt
        return decode_jpeg(path, size)

    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "decode_jpeg", decode)
        with pytest.raises(KeyboardInterrupt):
            cached_images(tmp_path / "cache", photos, SIZE)
    assert list((tmp_path / "cache").iterdir()) == []
    images, _ = cached_images(tmp_path / "cache", photos, SIZE)
    np.testing.assert_array_equal(images, np.stack([by_pillow(path) for path in photos]))


def test_two_processes_may_build_at_once(photos, tmp_path, monkeypatch):
    """Another process makes the whole cache while this one is in the middle of it."""
    cache = tmp_path / "cache"
    program = (
        "import sys; from pathlib import Path; from common.image_cache import cached_images; "
        "images, _ = cached_images(Path(sys.argv[1]), [Path(p) for p in sys.argv[2:]], 8); "
        "print(images.sum())"
    )
    sums = []

    def decode(path, size):
        if path == photos[2]:
            command = [sys.executable, "-c", program, str(cache), *map(str, photos)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            sums.append(int(done.stdout))
        return decode_jpeg(path, size)

    monkeypatch.setattr(image_cache, "decode_jpeg", decode)
    images, _ = cached_images(cache, photos, SIZE)
    np.testing.assert_array_equal(images, np.stack([by_pillow(path) for path in photos]))
    assert sums == [images.sum()]
    assert len(list(cache.iterdir())) == 1


def test_two_threads_may_build_at_once(photos, tmp_path, monkeypatch):
    both_started = threading.Barrier(2, timeout=20)
    results, errors = [], []

    def decode(path, size):
        if path == photos[0]:
            both_started.wait()
        return decode_jpeg(path, size)

    def build():
        try:
            results.append(cached_images(tmp_path / "cache", photos, SIZE)[0])
        except Exception as error:
            errors.append(error)

    monkeypatch.setattr(image_cache, "decode_jpeg", decode)
    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for images in results:
        np.testing.assert_array_equal(images, np.stack([by_pillow(path) for path in photos]))
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("below", ["", "cache"])
def test_a_cache_that_cannot_be_written_is_one_line(photos, tmp_path, below):
    cache = tmp_path / "a file" / below
    (tmp_path / "a file").touch()
    with pytest.raises(UserError) as raised:
        cached_images(cache, photos, SIZE)
    message = str(raised.value)
    assert message.startswith(f"{cache}: ") and "--cache_dir" in message and "\n" not in message


@pytest.mark.parametrize("content", ["", "{", "[1", "5"])
def test_a_damaged_list_of_what_was_skipped_is_made_anew(photos, tmp_path, content, capsys):
    photos[3].write_bytes(b"")
    cached_images(tmp_path / "cache", photos, SIZE, skip_bad=True)
    (skipped,) = (tmp_path / "cache").glob("*.skipped.json")
    skipped.write_text(content)
    _, kept = cached_images(tmp_path / "cache", photos, SIZE, skip_bad=True)
    assert kept.tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("array", [np.zeros((5, 4)), np.zeros((5, SIZE, SIZE, 3), np.float32)])
def test_a_cache_file_of_something_else_is_made_anew(photos, tmp_path, array):
    cached_images(tmp_path / "cache", photos, SIZE)
    (file,) = (tmp_path / "cache").iterdir()
    np.save(file, array)
    images, _ = cached_images(tmp_path / "cache", photos, SIZE)
    np.testing.assert_array_equal(images, np.stack([by_pillow(path) for path in photos]))


def test_a_damaged_cache_file_is_made_anew(photos, tmp_path):
    cached_images(tmp_path / "cache", photos, SIZE)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:200])
    images, _ = cached_images(tmp_path / "cache", photos, SIZE)
    np.testing.assert_array_equal(images, np.stack([by_pillow(path) for path in photos]))


@pytest.mark.parametrize("differs", ["name", "size"])
def test_files_of_the_same_date_that_differ_in_name_or_size_are_decoded_anew(tmp_path, differs):
    paths = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for path, shade in zip(paths, (50, 200), strict=True):
        Image.new("L", (16, 16), shade).save(path)
    lengths = [path.stat().st_size for path in paths]
    for path, length in zip(paths, lengths, strict=True):  # a JPEG may be followed by anything
        path.write_bytes(path.read_bytes() + bytes(max(lengths) - length))
        os.utime(path, ns=(0, 10**18))
    first, _ = cached_images(tmp_path / "cache", paths[:1], 8)
    if differs == "size":
        paths[0].write_bytes(paths[1].read_bytes() + b"\0")
        os.utime(paths[0], ns=(0, 10**18))
    second, _ = cached_images(tmp_path / "cache", paths[:1] if differs == "size" else paths[1:], 8)
    assert abs(int(first[0, 0, 0, 0]) - 50) < 3 and abs(int(second[0, 0, 0, 0]) - 200) < 3


@pytest.mark.parametrize(
    "entry", [(0x010F, 11, 1, struct.pack("<f", 1)), (0x011A, 2, 4, b"abc\0")], ids=["Make", "XResolution"]
)
def test_odd_exif_leaves_a_good_picture_upright(tmp_path, entry):
    entries = sorted([(0x0112, 3, 1, struct.pack("<HH", 6, 0)), entry])
    tags = b"".join(struct.pack("<HHI", *e[:3]) + e[3] for e in entries)
    body = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + tags + bytes(4)
    stream = io.BytesIO()
    lying = Image.new("L", (32, 32), 255)
    lying.paste(0, (0, 0, 16, 32))
    lying.save(stream, "JPEG")
    jpeg = stream.getvalue()
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:])
    image = decode_jpeg(path, 8)
    assert image[:3].max() < 9 and image[5:].min() > 246
