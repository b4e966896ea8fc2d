"""Task 3: VGG-16 on PASCAL VOC from scratch, with Task 2's solver.

    python 03_pascal_vgg16.py --data_dir $DATA_DIR

With the N(0, 0.01) weights of Task 2 (`--init gaussian`) next to nothing of the image reaches the logits of
a network this deep; the default is Glorot and Bengio's initialiser, with which it learns. An iteration
takes 2 to 3 seconds on 2 cores with bfloat16. At the end it prints the test AP of every class, by two
conventions and beside guessing, and where its figures are. The same command again goes on with a run that
was interrupted.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common import cli
from common.cli import option
from common.network_choices import Init

CROP_SIZE = 224  # pixels; VGG-16's input


@dataclass(frozen=True)
class Config(cli.RunOptions):
    """Every hyper-parameter of the task; the solver is Task 2's (Q3.1)."""

    steps: int = option(40_000, "iterations (Q2.2: at least 40K)", minimum=1, resumable=True)
    eval_every: int = option(1_000, "iterations between evaluations", minimum=1, resumable=True)
    checkpoint_every: int = option(200, "iterations between checkpoints", minimum=1, resumable=True)
    batch_size: int = option(10, "images an iteration (Q2.2)", minimum=1)
    learning_rate: float = option(0.001, "of the first iterations (Q2.2)", minimum=0)
    decay_steps: int = option(10_000, "iterations from stair to stair (Q2.2)", minimum=1)
    decay_rate: float = option(0.5, "factor at each stair (Q2.2)", minimum=0, maximum=1)
    momentum: float = option(0.9, "of SGD (Q2.2)", minimum=0, maximum=1)
    init: Init = option(
        "xavier",
        "initial kernels; gaussian is the handout's N(0, 0.01), in whose logits, as in caffe's, next to "
        "nothing of the image is left",
    )
    dropout: float = option(0.5, "share dropped after fc6 and fc7 (Q2.1)", minimum=0, maximum=0.99)
    image_size: int = option(256, "pixels; images are resized to a square (Q1.1)", minimum=CROP_SIZE)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains and evaluates; returns the final metrics."""
    config = cli.parse(Config, argv, __doc__)

    # Here and not at the top: TensorFlow takes seconds to load, `--help` shouldn't.
    cli.import_tensorflow(config.strategy)
    from common import augment, device, evaluation, hooks, losses, networks, optimizers, run_figures, voc
    from common.estimator import Estimator
    from common.input import EvalInput, TrainInput
    from common.run_files import open_run

    data = voc.load_data(config, config.image_size)
    precision = device.set_precision(config.precision)
    model_dir = open_run(config, __file__, data, precision)
    schedule = optimizers.staircase(config.learning_rate, config.decay_steps, config.decay_rate)
    estimator = Estimator(
        model=networks.vgg16(
            len(data.train.classes),
            init=config.init,
            dropout=config.dropout,
            seed=config.seed,
            size=CROP_SIZE,
        ),
        optimizer=optimizers.MomentumSGD(schedule, config.momentum),
        loss=losses.sigmoid_cross_entropy,
        metrics=functools.partial(evaluation.multilabel_metrics, classes=data.test.classes),
        headline="mAP",
        model_dir=model_dir,
    )

    def augmentation(images, step, first):
        return augment.random_crop_and_flip(images, CROP_SIZE, config.seed, step, first)

    metrics = estimator.train_and_evaluate(
        TrainInput(data.train, config.batch_size, config.seed, augmentation),
        EvalInput(data.test, config.eval_batch_size, lambda images: augment.center_crop(images, CROP_SIZE)),
        config.steps,
        config.eval_every,
        hooks.standard(config, config.steps, data.train.classes),
    )
    print(evaluation.format_table(metrics))
    for path in run_figures.write_multilabel_figures(model_dir):
        print(path)
    return metrics


if __name__ == "__main__":
    cli.run(main)
