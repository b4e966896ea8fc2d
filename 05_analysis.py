"""Task 5: what CaffeNet and the fine-tuned VGG-16 learned.

    python 05_analysis.py --data_dir $DATA_DIR --caffenet RUN_OF_TASK_2 --vgg RUN_OF_TASK_4

conv1's filters at stages of the training; nearest neighbours by pool5 and fc7; t-SNE of fc7; AP per class of
both networks, with the images behind the hardest and the easiest class. Most of the time goes into showing
VGG-16 the test images, some minutes on 2 cores. At the end it prints where its figures are.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import cli
from common.cli import option
from common.errors import UserError


@dataclass(frozen=True)
class Config(cli.DataOptions):
    """What to look at, and how much of it (Task 5)."""

    caffenet: Path | None = option(None, "model directory of a CaffeNet from scratch (Task 2)")
    vgg: Path | None = option(None, "model directory of a fine-tuned VGG-16 (Task 4)")
    output_dir: Path | None = option(
        None, "folder of the figures and the projector's files (default: runs/05_analysis-<run>-<run>)"
    )
    queries: int = option(
        10, "test images whose neighbours are shown, each of a class of its own", minimum=1, maximum=20
    )
    neighbours: int = option(5, "neighbours of each", minimum=1, maximum=50)
    tsne_images: int = option(1_000, "random test images in the t-SNE", minimum=4)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Draws everything; returns what analysis.json holds."""
    config = cli.parse(Config, argv, __doc__)
    if config.caffenet is None or config.vgg is None:
        raise UserError("give --caffenet and --vgg, the model directories of a run of Task 2 and of Task 4")

    # Here and not at the top: TensorFlow takes seconds to load, `--help` shouldn't.
    cli.import_tensorflow()
    from common import analysis, analysis_figures, files, run_files, snapshots, trained, voc

    started = time.monotonic()
    size = trained.image_size_of({"caffenet": config.caffenet, "vgg16": config.vgg})
    test = voc.load_test(config, size)
    if len(test) <= max(config.neighbours, 3):
        raise UserError(f"{len(test)} test images are too few for {config.neighbours} neighbours and t-SNE")
    caffenet = trained.load_for(config.caffenet, test)
    vgg = trained.load_for(config.vgg, test)
    stages = snapshots.read_stages(config.caffenet, caffenet)
    names = [run.resolve().name for run in (config.caffenet, config.vgg)]
    folder = config.output_dir or Path("runs") / "-".join(["05_analysis", *names])
    files.check_writable(folder)  # now, and not after minutes of work
    seen = {
        "caffenet": analysis.look(caffenet, test, config.eval_batch_size),
        "vgg16": analysis.look(vgg, test, config.eval_batch_size),
    }
    embedded = analysis.embed_fc7(seen, test, config.tsne_images, config.seed)
    # It is written at the end: where it is, it and the figures are of the same weights.
    (folder / "analysis.json").unlink(missing_ok=True)
    paths = [analysis_figures.conv1_filters(stages, caffenet.title, folder / "conv1.png")]
    shares, more = analysis.neighbours(seen, test, config.queries, config.neighbours, config.seed, folder)
    paths += more
    paths += analysis.map_of_fc7(seen, test, embedded, folder)
    paths += analysis.scores(seen, test, folder)

    # Seen from the analysis, so that they are found from anywhere, and with it on another machine.
    runs = {"caffenet": config.caffenet, "vgg": config.vgg}
    seen_from_here = {name: os.path.relpath(run.resolve(), folder.resolve()) for name, run in runs.items()}
    settings = run_files.settings_of(config, resumable=False) | seen_from_here
    result = {
        "settings": {"script": Path(__file__).stem} | settings,
        "resumable_settings": run_files.settings_of(config, resumable=True),
        "data": {
            "name": caffenet.config["data"]["name"],
            "splits": {test.split: run_files.describe_split(test)},
        },
        "environment": run_files.describe_environment(),
        "seconds": round(time.monotonic() - started),
        "titles": {network: what.title for network, what in seen.items()},
        "AP": {network: what.evaluation for network, what in seen.items()},
        "neighbours_with_a_class_in_common": shares,
    }
    paths.append(run_files.write_json(folder / "analysis.json", result))
    for path in paths:
        print(path)
    print(f"the projector: tensorboard --logdir {folder / 'projector'}")
    return result


if __name__ == "__main__":
    cli.run(main)
