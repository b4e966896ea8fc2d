"""Task 0: a small network on MNIST, the one of TensorFlow's old layers tutorial.

    python 00_mnist.py --data_dir FOLDER_OF_THE_FOUR_FILES

An iteration takes about 0.03 s on 2 cores, all 20,000 about 10 minutes. At the end it prints the test
accuracy and where its figures are. The same command again goes on with a run that was interrupted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common import cli
from common.cli import option


@dataclass(frozen=True)
class Config(cli.RunOptions):
    """Every hyper-parameter of the task; Q0.1 to Q0.3 are the handout's questions."""

    data_dir: str | None = option(
        None,
        "folder of MNIST's four idx files; without it TensorFlow Datasets' mnist, or where that can't be "
        "had scikit-learn's digits",
        resumable=True,
    )
    steps: int = option(20_000, "iterations (Q0.1; Q0.2: 30,000)", minimum=1, resumable=True)
    eval_every: int = option(200, "iterations between evaluations (Q0.3)", minimum=1, resumable=True)
    batch_size: int = option(100, "images an iteration (layers tutorial)", minimum=1)
    learning_rate: float = option(0.001, "of plain SGD (layers tutorial)", minimum=0)
    dropout: float = option(0.4, "share dropped after the dense layer", minimum=0, maximum=0.99)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains and evaluates; returns the final metrics."""
    config = cli.parse(Config, argv, __doc__)

    # Here and not at the top: TensorFlow takes seconds to load, `--help` shouldn't.
    cli.import_tensorflow(config.strategy)
    import keras

    from common import device, evaluation, hooks, losses, mnist, networks, run_figures
    from common.estimator import Estimator
    from common.input import EvalInput, TrainInput
    from common.run_files import open_run

    data = mnist.load_data(config)
    precision = device.set_precision(config.precision)
    model_dir = open_run(config, __file__, data, precision)
    estimator = Estimator(
        model=networks.layers_tutorial_cnn(
            len(data.train.classes),
            data.train.images.shape[1:],
            scale=1 / 255,
            dropout=config.dropout,
            seed=config.seed,
        ),
        optimizer=keras.optimizers.SGD(config.learning_rate),
        loss=losses.softmax_cross_entropy,
        metrics=evaluation.accuracy_metrics,
        headline="accuracy",
        model_dir=model_dir,
    )
    metrics = estimator.train_and_evaluate(
        TrainInput(data.train, config.batch_size, config.seed, lambda images, step, first: images),
        EvalInput(data.test, config.eval_batch_size, lambda images: images),
        config.steps,
        config.eval_every,
        hooks.standard(config, config.steps, data.train.classes),
    )
    print(f"test accuracy {metrics['accuracy']:.4f} after {metrics['step']:,} iterations")
    for path in run_figures.write_digit_figures(model_dir, data.test):
        print(path)
    return metrics


if __name__ == "__main__":
    cli.run(main)
