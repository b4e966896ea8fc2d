"""Input that was damaged at random: a right result or one line, never a traceback, a hang or a full memory.

By default a part of the cases; with the slow tests 3,250.
"""

import contextlib
import gzip
import io
import resource
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common import mnist, pretrained, voc
from common.errors import UserError
from common.image_cache import BadImageError, decode_jpeg
from tests import tiny_run

FEW, MANY = 60, 650
SECONDS = 5  # of computing, for one case; all take milliseconds

counts = pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Flips bits, cuts, overwrites, repeats, empties, or writes sizes that can't be."""
    data = bytearray(content)
    at = int(rng.integers(len(data)))
    kind = rng.integers(7)
    if kind == 0:
        for place in rng.integers(len(data), size=rng.integers(1, 9)):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        data[at : at + 16] = rng.bytes(16)
    elif kind == 3:
        data[at:at] = data[: int(rng.integers(1, 200))]
    elif kind == 4:
        data[at : at + 4] = b"\xff\xff\xff\xff"
    elif kind == 5:
        data[: int(rng.integers(1, 40))] = b"\x00" * int(rng.integers(1, 40))
    else:
        del data[at : at + int(rng.integers(1, 100))]
    return bytes(data)


def survive(case: Callable[[], object], allowed: type[Exception]) -> bool:
    """Runs one case; whether it gave a result, and not one line."""
    started, computed = time.monotonic(), time.process_time()
    try:
        case()
        return True
    except allowed as error:
        assert str(error) and "\n" not in str(error)
        return False
    finally:
        assert time.process_time() - computed < SECONDS and time.monotonic() - started < 12 * SECONDS


@pytest.fixture
def memory():
    """What a test adds to the process' memory stays below 1 GB."""
    with contextlib.suppress(OSError):  # Linux may be built without it; then the peak of earlier tests counts
        Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is taken now
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


@counts
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore:.*:UserWarning")
def test_jpegs(count, tmp_path, memory):
    rng = np.random.default_rng(count)
    buffer = io.BytesIO()
    picture = Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).resize((160, 120))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F], exif[0x0132], exif[0x011A] = "maker", "2007:11:06 12:00:00", 72.0
    picture.save(buffer, "JPEG", quality=80, exif=exif)
    path = tmp_path / "a.jpg"

    def decode() -> None:
        image = decode_jpeg(path, 32)
        assert image.shape == (32, 32, 3) and image.dtype == np.uint8

    results = []
    for _ in range(count):
        path.write_bytes(damage(buffer.getvalue(), rng))
        results.append(survive(decode, BadImageError))
    assert any(results) and not all(results)


@counts
def test_class_lists(count, tmp_path, write_voc, memory):
    folder = write_voc(tmp_path).folder
    path = folder / "ImageSets" / "Main" / "dog_trainval.txt"
    whole = path.read_bytes()
    rng = np.random.default_rng(count)
    tricks = [
        b"../../../etc/passwd  1\n",
        b"/etc/passwd 1\n",
        b"a/b 1\n",
        b"a\x00b 1\n",
        b"000001 2\n",
        b"000001\n",
    ]

    def read() -> None:
        ids, values = voc.read_lists(folder, "trainval")
        assert len(ids) == len(values) == 5 and set(np.unique(values)) <= {-1, 0, 1}
        assert all("/" not in i for i in ids)

    for number in range(count):
        content = damage(whole, rng)
        if number % 5 == 0:
            content += tricks[number // 5 % len(tricks)]
        path.write_bytes(content)
        survive(read, UserError)


@counts
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(count, packed, tmp_path, memory):
    rng = np.random.default_rng(count)
    header = bytes([0, 0, 8, 3]) + np.array((20, 28, 28), ">u4").tobytes()
    content = header + rng.integers(0, 256, 20 * 28 * 28, np.uint8).tobytes()
    path = tmp_path / ("train-images-idx3-ubyte" + (".gz" if packed else ""))

    def read() -> None:
        assert mnist.read_idx(path, 3).dtype == np.uint8

    for number in range(count):
        if packed and number % 2:
            path.write_bytes(gzip.compress(damage(content, rng)))
        else:
            path.write_bytes(damage(gzip.compress(content) if packed else content, rng))
        survive(read, UserError)


def test_a_gzip_that_unpacks_to_far_more_than_its_header_says(tmp_path, memory):
    header = bytes([0, 0, 8, 3]) + np.array((20, 28, 28), ">u4").tobytes()
    path = tmp_path / "train-images-idx3-ubyte.gz"
    packer = zlib.compressobj(wbits=31)  # gzip's format
    start = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(10_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(start + 300 * block)  # unpacks to 3 GB, as one member, of which the end is missing
    with pytest.raises(UserError, match="has more content than its header says"):
        mnist.read_idx(path, 3)


@counts
def test_checkpoints_of_other_makers(count, tmp_path, memory):
    """Of a run, read as given weights: what is restored is what was stored, or it is one line."""
    tiny_run.run(tmp_path / "run", 10)
    parts = {path: path.read_bytes() for path in (tmp_path / "run").glob("ckpt-10.*")}
    model = tiny_run.network()
    pretrained.restore(model, pretrained.open_weights(str(tmp_path / "run"), True), "fc8")
    expected = [variable.numpy() for variable in model.trainable_variables]
    rng = np.random.default_rng(count)

    def restore() -> None:
        pretrained.restore(model, pretrained.open_weights(str(tmp_path / "run"), True), "fc8")
        for variable, value in zip(model.trainable_variables, expected, strict=True):
            np.testing.assert_array_equal(variable, value)

    for number in range(count):
        path = list(parts)[number % 2]
        path.write_bytes(damage(parts[path], rng))
        survive(restore, UserError)
        path.write_bytes(parts[path])
