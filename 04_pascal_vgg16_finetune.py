r"""Task 4: VGG-16 fine-tuned on PASCAL VOC from ImageNet weights.

    python 04_pascal_vgg16_finetune.py --data_dir $DATA_DIR
    python 04_pascal_vgg16_finetune.py --data_dir $DATA_DIR --init_from vgg_16.ckpt --learning_rate 1e-3 \
        --model_dir runs/finetuned-1e-3

Without --init_from Keras fetches the weights, 553 MB, once. An iteration takes 2 to 3 seconds on 2 cores with
bfloat16. At the end it prints the test AP of every class, by two conventions and beside guessing, and where
its figures are. The same command again goes on with a run that was interrupted.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common import cli
from common.cli import option
from common.network_choices import Init, VGG16Layer

CROP_SIZE = 224  # pixels; VGG-16's input


@dataclass(frozen=True)
class Config(cli.RunOptions):
    """Every hyper-parameter of the task; Q4.1 divides Task 3's rate, iterations and stairs by 10."""

    steps: int = option(4_000, "iterations (Q4.1)", minimum=1, resumable=True)
    eval_every: int = option(200, "iterations between evaluations", minimum=1, resumable=True)
    checkpoint_every: int = option(200, "iterations between checkpoints", minimum=1, resumable=True)
    batch_size: int = option(10, "images an iteration (Q2.2)", minimum=1)
    learning_rate: float = option(0.0001, "of the first iterations (Q4.1)", minimum=0)
    decay_steps: int = option(1_000, "iterations from stair to stair (Q4.1)", minimum=1)
    decay_rate: float = option(0.5, "factor at each stair (Q2.2)", minimum=0, maximum=1)
    momentum: float = option(0.9, "of SGD (Q2.2)", minimum=0, maximum=1)
    init_from: str = option(
        "keras",
        "ImageNet weights: TF-slim's vgg_16.ckpt, an .h5 file of Keras' VGG-16, 'keras' to have Keras fetch "
        "them, or the model directory of another run",
    )
    restore_up_to: VGG16Layer = option(
        "fc7", "the last layer to restore (Q4.1); with one before conv5_3 add --init xavier, as in Task 3"
    )
    init: Init = option(
        "caffe",
        "kernels that aren't restored; gaussian is N(0, 0.01), caffe has N(0, 0.005) in fc6 and fc7",
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
        hooks.standard(
            config, config.steps, data.train.classes, hooks.Restore(config.init_from, config.restore_up_to)
        ),
    )
    print(evaluation.format_table(metrics))
    for path in run_figures.write_multilabel_figures(model_dir):
        print(path)
    return metrics


if __name__ == "__main__":
    cli.run(main)
