"""Decoding into the cache against a loop of Pillow, and what training out of it costs as it grows.

    python -m benchmarks.cache
    python -m benchmarks.cache --turns 1

Decoding: 1,000 generated JPEGs of VOC's size, the two in turns, and a second start that finds them decoded.
Training: out of 1,000, of 10,000 and of 100,000 images, in 3 turns or so many as are asked for, each in a
process of its own, 160 steps of CaffeNet with 64 images, so that it reads 10,240; the 100,000 are a sparse
file, most of which is a hole. Where a step takes 3 seconds, a turn takes half an hour.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from common import cli

SIZE, COUNT, DECODING_TURNS = 256, 1_000, 3
BATCH, STEPS = 64, 160
COUNTS = (1_000, 10_000, 100_000)


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
    """Seconds that a loop takes to decode and resize images."""
    started = time.perf_counter()
    images = np.empty((len(paths), SIZE, SIZE, 3), np.uint8)
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            images[number] = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return time.perf_counter() - started


def time_cache(paths: list[Path], cache_dir: Path) -> float:
    """Seconds until images are there, decoded by this call or by an earlier one."""
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
    """Prints seconds a batch of the input alone and a step, and this process' highest resident memory, GB."""
    cli.import_tensorflow()
    from benchmarks import setting
    from common import device

    device.set_precision("auto")
    images = np.load(path, mmap_mode="r")
    examples = setting.as_examples(images, np.zeros((len(images), 20), np.float32))
    train_input = setting.train_input("caffenet", BATCH, examples)
    clock = setting.Clock()
    for _ in train_input.from_step(0).take(STEPS):
        clock.tick()
    alone = statistics.median(np.diff(clock.times)[2:])
    with tempfile.TemporaryDirectory() as folder:
        estimator = setting.make_estimator("caffenet", Path(folder))
        seconds = statistics.median(setting.time_steps(estimator, train_input, STEPS))
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))  # units of 1,024 bytes
    print(f"{alone} {seconds} {peak * 1024 / 1e9}")


def compare_decoding() -> None:
    """Prints what a loop of Pillow, the cache, and a second start take."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_jpegs(Path(folder))
        turns = []
        for turn in range(DECODING_TURNS):
            cache_dir = Path(folder) / f"cache{turn}"
            turns.append((time_pillow(paths), time_cache(paths, cache_dir), time_cache(paths, cache_dir)))
    pillow, cache, again = (statistics.median(times) for times in zip(*turns, strict=True))
    print(f"decoding {COUNT:,} JPEGs: Pillow in a loop {pillow:.2f} s, the cache {cache:.2f} s")
    print(f"{pillow / cache:.2f} times as fast; a second start {again:.3f} s")


def compare_training(turns: int) -> None:
    """Prints what training costs for each number of images: medians, and the memory of every turn."""
    measured: dict[int, list[list[float]]] = {count: [] for count in COUNTS}
    with tempfile.TemporaryDirectory() as folder:
        paths = {count: Path(folder) / f"{count}.npy" for count in COUNTS}
        for count, path in paths.items():
            write_images(path, count)
        os.sync()  # so that none trains while another's images are still being written
        for turn in range(turns):
            for count, path in paths.items():
                command = [sys.executable, "-m", "benchmarks.cache", "--train_on", str(path)]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                alone, seconds, peak = map(float, output.split())
                measured[count].append([alone, seconds, peak])
                print(f"turn {turn + 1}  {count:>8,} images  {1000 * seconds:8.1f} ms", file=sys.stderr)
    print(f"training, {'once each' if turns == 1 else f'medians of {turns} turns'}")
    print(f"{'images':>8} {'ms a batch':>11}{'a step':>11} {'peak memory':>12}")
    for count, rows in measured.items():
        alone, seconds, peaks = zip(*rows, strict=True)
        times = [f"{1000 * statistics.median(of):11.1f}" for of in (alone, seconds)]
        each = ", ".join(f"{peak:.2f}" for peak in peaks)
        print(f"{count:>8,} {''.join(times)} {statistics.median(peaks):>9.2f} GB  ({each})")


def main() -> None:
    parser = cli.Parser(__doc__)
    parser.add_argument("--train_on", type=Path, help=argparse.SUPPRESS)  # one turn, in a process of its own
    parser.add_argument(
        "--turns", type=cli.bounded(int, minimum=1), default=3, help="how often training is measured"
    )
    options = parser.parse_args()
    if options.train_on:
        measure_training(options.train_on)
        return
    compare_decoding()
    compare_training(options.turns)
    cli.import_tensorflow()
    from benchmarks import setting
    from common import device

    print(f"{setting.describe_machine()}, {device.set_precision('auto')}")


if __name__ == "__main__":
    cli.run(main)
