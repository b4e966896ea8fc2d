"""What happens around training steps; evaluation is in `common.evaluate_hook`.

A hook does nothing at a step that isn't its own.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf
from tqdm import tqdm

from common import captions, pretrained, run_files, summaries
from common.cli import RunOptions
from common.mixup import Mixed, MixedWeights

if TYPE_CHECKING:
    from common.estimator import Estimator


class Step(NamedTuple):
    """One training step, as hooks see it.

    Attributes:
        loss: of this step's batch, before its update.
        learning_rate: the one that this step's update used.
        images, labels, weights: the batch as the network saw it.
        gradients: by variable, "conv1/kernel"; empty unless a hook wants them at this step.
    """

    loss: float
    learning_rate: float
    images: tf.Tensor
    labels: tf.Tensor | Mixed
    weights: tf.Tensor | MixedWeights
    gradients: Mapping[str, tf.Tensor]


class Hook:
    """The moments of a run; after `tf.estimator.SessionRunHook`.

    Attributes:
        on_every_worker: whether it acts in every process of a run on several machines, or, like what
            writes, in the first alone.
    """

    on_every_worker = False

    def begin(self, estimator: "Estimator") -> None:
        """Before the first step of this process, after the latest checkpoint was restored."""

    def wants_gradients(self, step: int) -> bool:
        """Whether `after_step` of this step is to be given the gradients."""
        return False

    def after_step(self, estimator: "Estimator", step: int, done: Step) -> None:
        """After step number `step` (from 1), which is also the global step."""

    def end(self, estimator: "Estimator") -> None:
        """After the last step."""

    def close(self, estimator: "Estimator") -> None:
        """At last, also when an error or an interruption ends the training."""


def describe_speed(rate: float) -> str:
    return f"{rate:.{1 if rate < 10 else 0}f} images/s"


class Rate:
    """Images a second, in training steps alone, since it was last read; None where no step was timed."""

    def __init__(self) -> None:
        self._images, self._seconds = 0, 0.0

    def read(self, estimator: "Estimator") -> float | None:
        images = estimator.images_trained - self._images
        seconds = estimator.train_seconds - self._seconds
        self._images, self._seconds = estimator.images_trained, estimator.train_seconds
        return images / seconds if images else None


class Checkpoints(Hook):
    """Saves every so many steps and at the end. Belongs last, so that it knows what the others did."""

    def __init__(self, every: int) -> None:
        """
        Args:
            every: steps from checkpoint to checkpoint.
        """
        self._every = every
        self._saved_step = 0

    def begin(self, estimator: "Estimator") -> None:
        self._saved_step = estimator.step

    def after_step(self, estimator: "Estimator", step: int, done: Step) -> None:
        if step % self._every == 0:
            self._save(estimator, step)

    def end(self, estimator: "Estimator") -> None:
        if estimator.step != self._saved_step:
            self._save(estimator, estimator.step)

    def _save(self, estimator: "Estimator", step: int) -> None:
        estimator.save()
        self._saved_step = step


class Progress(Hook):
    """A bar with loss, images a second and the time left; quiet where stderr is no terminal."""

    def __init__(self, last_step: int) -> None:
        """
        Args:
            last_step: of the run.
        """
        self._last_step = last_step
        self._bar: tqdm | None = None

    def begin(self, estimator: "Estimator") -> None:
        step = estimator.step
        done = f"{step:,} of {max(step, self._last_step):,} steps are made"
        what = "nothing left to train" if step >= self._last_step else "going on" if step else "starting"
        config = run_files.read_config(estimator.model_dir)
        where = f"{config['settings']['precision']} on {config['environment']['device']}"
        print(f"{estimator.model_dir}: {done}, {what}, {where}", flush=True)
        self._rate = Rate()

    def after_step(self, estimator: "Estimator", step: int, done: Step) -> None:
        if self._bar is None:  # not before, for other hooks print when they begin
            self._bar = tqdm(
                desc="training", initial=step - 1, total=self._last_step, unit=" steps", disable=None
            )
        self._bar.update()
        if not self._bar.disable and step % 10 == 0:
            rate = self._rate.read(estimator)
            speed = "" if rate is None else f", {describe_speed(rate)}"
            self._bar.set_postfix_str(f"loss {done.loss:.4f}{speed}", False)

    def close(self, estimator: "Estimator") -> None:
        if self._bar is not None:
            self._bar.close()


class Restore(Hook):
    """Gives the network of a new run weights made elsewhere; a run that goes on has its own."""

    on_every_worker = True

    def __init__(self, init_from: str, up_to: str) -> None:
        """
        Args:
            init_from: see `common.pretrained.open_weights`.
            up_to: the last layer to restore.
        """
        self._init_from = init_from
        self._up_to = up_to

    def begin(self, estimator: "Estimator") -> None:
        if estimator.step:
            return
        weights = pretrained.open_weights(self._init_from, with_classifier=self._up_to.startswith("fc"))
        outcome = pretrained.restore(estimator.model, weights, self._up_to)
        turned = ", conv1_1 turned from BGR to RGB" if weights.bgr else ""
        print(f"restored from {weights.name}{turned}: {', '.join(outcome.restored)}")
        print(f"initialised: {', '.join(outcome.initialised) or 'nothing'}")
        print(f"ignored: {', '.join(outcome.ignored) or 'nothing'}", flush=True)


class Summaries(Hook):
    """TensorBoard's training scalars every so many steps, images and histograms less often.

    The settings and the graphs are written once. At any other step this costs nothing.
    """

    def __init__(self, every: int, images_every: int, histograms_every: int, classes: Sequence[str]) -> None:
        """
        Args:
            every, images_every, histograms_every: steps; images and histograms of the first step are
                written too.
            classes: names, for the captions of the images.
        """
        self._every = every
        self._images_every = images_every
        self._histograms_every = histograms_every
        self._classes = classes
        self._rate = Rate()

    def begin(self, estimator: "Estimator") -> None:
        if estimator.step == 0:
            config = run_files.read_config(estimator.model_dir)
            summaries.write_config(estimator.summary_writer, config)

    def wants_gradients(self, step: int) -> bool:
        return step % self._histograms_every == 0 or step == 1

    def after_step(self, estimator: "Estimator", step: int, done: Step) -> None:
        writer = estimator.summary_writer
        if step == 1:
            summaries.write_graphs(writer, estimator.step_graph(done), estimator.model)
        if step % self._every == 0:
            rate = self._rate.read(estimator)
            summaries.write_training(writer, step, done.loss, done.learning_rate, rate)
        if step % self._images_every == 0 or step == 1:
            labels, weights = tf.nest.map_structure(
                lambda tensor: tensor.numpy(), (done.labels, done.weights)
            )
            shown = captions.describe_batch(labels, weights, self._classes)
            summaries.write_images(writer, step, done.images.numpy(), shown)
        if self.wants_gradients(step):
            variables = estimator.trainable_variables()
            weights = {name: variable.value.read_value() for name, variable in variables.items()}
            summaries.write_histograms(writer, step, "gradients", done.gradients)
            summaries.write_histograms(writer, step, "weights", weights)

    def close(self, estimator: "Estimator") -> None:
        estimator.flush_summaries()


def standard(options: RunOptions, steps: int, classes: Sequence[str], *more: Hook) -> list[Hook]:
    """The hooks of every training script.

    Args:
        options: how often to write what.
        steps: of the whole run.
        classes: their names.
        more: the script's own; they come before the checkpoint of the same step, which is then known
            to include what they did.
    """
    tensorboard = Summaries(options.summary_every, options.images_every, options.histograms_every, classes)
    return [Progress(steps), *more, tensorboard, Checkpoints(options.checkpoint_every)]
