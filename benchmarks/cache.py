"""Decoding into the cache against a loop of Pillow, and the memory of training on what is decoded.

    python -m benchmarks.cache

Decoding: 1,000 generated JPEGs of VOC's size, the two in turns. Memory: CaffeNet is trained for 160 steps of
64 images, so that it reads 10,240, out of 1,000, of 10,000 and of 100,000, most of the last in a sparse file,
each in a process of its own.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from common import cli

SIZE, COUNT, TURNS = 256, 1_000, 3
BATCH, STEPS = 64, 160


def write_jpegs(folder: Path) -> list[Path]:
    """Pictures of 500 x 375 pixels with detail like a photo's, about 60 kB each."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(COUNT):
        blobs = Image.fromarray(rng.integers(0, 256, (47, 63, 3), np.uint8)).resize((500, 375), Image.BICUBIC)
        grain = np.asarray(blobs, np.int16) + rng.normal(0, 4, (375, 500, 3)).astype(np.int16)
        paths.append(folder / f"{number:06}.jpg")
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def time_pillow(paths: list[Path]) -> float:
    started = time.perf_counter()
    images = np.empty((len(paths), SIZE, SIZE, 3), np.uint8)
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            images[number] = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return time.perf_counter() - started


def time_cache(paths: list[Path], cache_dir: Path) -> float:
    from common.image_cache import cached_images

    started = time.perf_counter()
    cached_images(cache_dir, paths, SIZE)
    return time.perf_counter() - started


def write_images(path: Path, count: int) -> None:
    """A cache file of `count` images; those after the first 10,000 are a hole in it, and read as 0."""
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIZE, SIZE, 3))
    for start in range(0, min(count, 10_000), 100):
        rng = np.random.default_rng(start)
        images[start : start + 100] = rng.integers(0, 256, (100, SIZE, SIZE, 3), np.uint8)


def measure_training(path: Path) -> None:
    """Prints the seconds a step and the highest resident memory of this process, in GB."""
    cli.import_tensorflow()
    from benchmarks import setting
    from common import device

    device.set_precision("auto")
    images = np.load(path, mmap_mode="r")
    examples = setting.as_examples(images, np.zeros((len(images), 20), np.float32))
    with tempfile.TemporaryDirectory() as folder:
        estimator = setting.make_estimator("caffenet", Path(folder))
        train_input = setting.train_input("caffenet", BATCH, examples)
        seconds = statistics.median(setting.time_steps(estimator, train_input, STEPS))
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(f"{seconds} {peak / 1e6}")


def main() -> None:
    if len(sys.argv) > 1:
        measure_training(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = write_jpegs(Path(folder))
        turns = [
            (time_pillow(paths), time_cache(paths, Path(folder) / f"cache{turn}")) for turn in range(TURNS)
        ]
    pillow, cache = (statistics.median(times) for times in zip(*turns, strict=True))
    print(f"decoding {COUNT:,} JPEGs: Pillow in a loop {pillow:.2f} s, the cache {cache:.2f} s")
    print(f"{pillow / cache:.2f} times as fast")
    print(f"{'images':>8} {'ms a step':>10} {'peak memory':>12}")
    for count in (1_000, 10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "images.npy"
            write_images(path, count)
            command = [sys.executable, "-m", "benchmarks.cache", str(path)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds, peak = map(float, output.split())
        print(f"{count:>8,} {1000 * seconds:>10.1f} {peak:>9.2f} GB")
    cli.import_tensorflow()
    from benchmarks import setting

    print(setting.describe_machine())


if __name__ == "__main__":
    main()
