r"""Task 6: mixup, on CaffeNet from scratch or on the fine-tuned VGG-16.

    python 06_mixup.py --data_dir $DATA_DIR --baseline_dir RUN_OF_TASK_2
    python 06_mixup.py --data_dir $DATA_DIR --network vgg16 --baseline_dir RUN_OF_TASK_4 \
        --model_dir runs/mixup-vgg16

Every image is mixed with the one that a random permutation of its batch gives it, and so are their losses.
Iterations take as long as Task 2's or Task 4's. At the end it prints the test AP of every class, by two
conventions and beside guessing, and where its figures are; with --baseline_dir, the folder of the run to
compare with, they show both. The same command again goes on with a run that was interrupted.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common import cli
from common.cli import option
from common.command_line import config_of
from common.errors import UserError
from common.network_choices import Init, VGG16Layer
from common.task_networks import BASELINES, NETWORK_TITLES


@dataclass(frozen=True)
class Config(cli.RunOptions):
    """Every hyper-parameter of the task; but for mixup's own they are Task 2's or Task 4's."""

    network: Literal["caffenet", "vgg16"] = option("caffenet", "from scratch, or fine-tuned")
    alpha: float = option(
        0.2, "shares are drawn from Beta(alpha, alpha) (the paper's 0.1 to 0.4)", minimum=0.02
    )
    share_per: Literal["pair", "batch"] = option("pair", "draw a share for each pair, or one for the batch")
    baseline_dir: Path | None = option(None, "model directory of the same run without mixup", resumable=True)
    steps: int | None = option(
        None, "iterations (default: the network's own task's)", minimum=1, resumable=True
    )
    eval_every: int | None = option(
        None, "iterations between evaluations (default: the network's own task's)", minimum=1, resumable=True
    )
    checkpoint_every: int | None = option(
        None, "iterations between checkpoints (default: the network's own task's)", minimum=1, resumable=True
    )
    batch_size: int = option(10, "images an iteration (Q2.2)", minimum=2)
    learning_rate: float | None = option(
        None, "of the first iterations (default: the network's own task's)", minimum=0
    )
    decay_steps: int | None = option(
        None, "iterations from stair to stair (default: the network's own task's)", minimum=1
    )
    decay_rate: float = option(0.5, "factor at each stair (Q2.2)", minimum=0, maximum=1)
    momentum: float = option(0.9, "of SGD (Q2.2)", minimum=0, maximum=1)
    init: Init | None = option(
        None, "kernels that aren't restored, as in Tasks 2 and 4 (default: gaussian; for vgg16 caffe)"
    )
    init_from: str | None = option(None, "ImageNet weights for vgg16, as in Task 4 (its default: keras)")
    restore_up_to: VGG16Layer | None = option(
        None, "the last layer of vgg16 to restore (Q4.1; its default: fc7)"
    )
    dropout: float = option(0.5, "share dropped after fc6 and fc7 (Q2.1)", minimum=0, maximum=0.99)
    image_size: int = option(256, "pixels; images are resized to a square (Q1.1)", minimum=224)


def complete(config: Config) -> Config:
    """The settings with what was left open taken from the network's own task.

    Raises:
        UserError: weights are given for a network that is trained from scratch, or images smaller than
            its input.
    """
    task = config_of(BASELINES[config.network])
    own = {field.name: field for field in dataclasses.fields(task)}
    if "init_from" not in own and (config.init_from or config.restore_up_to):
        raise UserError("--init_from and --restore_up_to: CaffeNet starts from scratch; add --network vgg16")
    smallest = own["image_size"].metadata["minimum"]
    if config.image_size < smallest:
        title = NETWORK_TITLES[config.network]
        raise UserError(f"--image_size {config.image_size}: {title} takes crops of {smallest} pixels")
    left_open = [name for name, value in vars(config).items() if value is None and name in own]
    return dataclasses.replace(config, **{name: own[name].default for name in left_open})


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains and evaluates; returns the final metrics."""
    config = complete(cli.parse(Config, argv, __doc__))

    # Here and not at the top: TensorFlow takes seconds to load, `--help` shouldn't.
    cli.import_tensorflow(config.strategy)
    from common import augment, comparison, device, evaluation, hooks, networks, optimizers, run_figures, voc
    from common.estimator import Estimator
    from common.input import EvalInput, TrainInput
    from common.losses import sigmoid_cross_entropy
    from common.mixup import mix
    from common.run_files import open_run

    data = voc.load_data(config, config.image_size)
    precision = device.set_precision(config.precision)
    model_dir = open_run(config, __file__, data, precision)
    if config.baseline_dir:
        comparison.check_baseline(model_dir, config.baseline_dir)
    model = networks.NETWORKS[config.network](
        len(data.train.classes), init=config.init, dropout=config.dropout, seed=config.seed
    )
    crop_size = model.input_shape[1]
    schedule = optimizers.staircase(config.learning_rate, config.decay_steps, config.decay_rate)
    estimator = Estimator(
        model=model,
        optimizer=optimizers.MomentumSGD(schedule, config.momentum),
        loss=sigmoid_cross_entropy,
        metrics=functools.partial(evaluation.multilabel_metrics, classes=data.test.classes),
        headline="mAP",
        model_dir=model_dir,
    )

    def augmentation(images, step, first):
        return augment.random_crop_and_flip(images, crop_size, config.seed, step, first)

    def mixing(images, labels, weights, step):
        one_share = config.share_per == "batch"
        return mix(
            images, labels, weights, alpha=config.alpha, one_share=one_share, seed=config.seed, step=step
        )

    restore = [hooks.Restore(config.init_from, config.restore_up_to)] if config.network == "vgg16" else []
    metrics = estimator.train_and_evaluate(
        TrainInput(data.train, config.batch_size, config.seed, augmentation, mixing),
        EvalInput(data.test, config.eval_batch_size, lambda images: augment.center_crop(images, crop_size)),
        config.steps,
        config.eval_every,
        hooks.standard(config, config.steps, data.train.classes, *restore),
    )
    print(evaluation.format_table(metrics))
    for path in run_figures.write_multilabel_figures(model_dir):
        print(path)
    if config.baseline_dir:
        for path in comparison.write_figures(model_dir, config.baseline_dir):
            print(path)
    return metrics


if __name__ == "__main__":
    cli.run(main)
