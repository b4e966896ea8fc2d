"""Task 1: the small network of Task 0 on PASCAL VOC, where an image has any number of labels.

    python 01_pascal.py --data_dir $DATA_DIR

The dense layer alone has 268 million weights, so an iteration takes seconds on 2 cores. At the end it prints
the test AP of every class, by two conventions and beside guessing, and where its figures are. The same
command again goes on with a run that was interrupted.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common import cli
from common.cli import option


@dataclass(frozen=True)
class Config(cli.RunOptions):
    """Every hyper-parameter of the task; the solver is Task 0's (Q1.3)."""

    steps: int = option(1_000, "iterations (Q1.3)", minimum=1, resumable=True)
    eval_every: int = option(50, "iterations between evaluations", minimum=1, resumable=True)
    checkpoint_every: int = option(100, "iterations between checkpoints", minimum=1, resumable=True)
    batch_size: int = option(100, "images an iteration (Task 0)", minimum=1)
    learning_rate: float = option(0.001, "of plain SGD (Task 0)", minimum=0)
    dropout: float = option(0.4, "share dropped after the dense layer (Task 0)", minimum=0, maximum=0.99)
    image_size: int = option(256, "pixels; images are resized to a square (Q1.1)", minimum=8)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains and evaluates; returns the final metrics."""
    config = cli.parse(Config, argv, __doc__)

    # Here and not at the top: TensorFlow takes seconds to load, `--help` shouldn't.
    cli.import_tensorflow(config.strategy)
    import keras

    from common import device, evaluation, hooks, losses, networks, run_figures, voc
    from common.estimator import Estimator
    from common.input import EvalInput, TrainInput
    from common.run_files import open_run

    data = voc.load_data(config, config.image_size)
    precision = device.set_precision(config.precision)
    model_dir = open_run(config, __file__, data, precision)
    estimator = Estimator(
        model=networks.layers_tutorial_cnn(
            len(data.train.classes),
            data.train.images.shape[1:],
            scale=1.0,
            dropout=config.dropout,
            seed=config.seed,
        ),
        optimizer=keras.optimizers.SGD(config.learning_rate),
        loss=losses.sigmoid_cross_entropy,
        metrics=functools.partial(evaluation.multilabel_metrics, classes=data.test.classes),
        headline="mAP",
        model_dir=model_dir,
    )
    metrics = estimator.train_and_evaluate(
        TrainInput(data.train, config.batch_size, config.seed, lambda images, step, first: images),
        EvalInput(data.test, config.eval_batch_size, lambda images: images),
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
