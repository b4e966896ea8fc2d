"""`tf.estimator`'s verbs on a Keras model: train, evaluate, predict, train_and_evaluate.

The model directory is the run. A training step is one `tf.function`; everything that isn't training
is a hook (`common.hooks`).
"""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from common import distribution, evaluation, interruption, run_files, run_lock, summaries
from common.checkpoints import RunCheckpoints
from common.errors import UserError
from common.evaluate_hook import Evaluate
from common.hooks import Hook, Step
from common.input import EvalInput, TrainInput

_SAMPLED = 1_000  # training images, at most, that each evaluation scores beside the test split
_CALMER = "the network has diverged, try a lower --learning_rate in another --model_dir"

Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
Metrics = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, Any]]


class Estimator:
    """Trains, evaluates and predicts with one model, and goes on where its model directory stopped."""

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: Loss,
        metrics: Metrics,
        headline: str,
        model_dir: Path,
    ) -> None:
        """
        Args:
            model: from images to logits.
            optimizer: not yet built.
            loss: of (labels, logits, weights), a scalar.
            metrics: of (labels, logits, weights) of a whole split as arrays.
            headline: the one among `metrics` by which runs are compared, higher is better.
            model_dir: where checkpoints and logs are; made if need be. Where it has a checkpoint, the
                latest is restored.
        """
        self.model = model
        self.optimizer = optimizer
        self.headline = headline
        self.model_dir = model_dir
        self.train_seconds = 0.0  # spent in training steps by this process
        self.images_trained = 0  # by this process
        self.replicas = distribution.Replicas()
        self._watch = interruption.Watch()
        self._loss = loss
        self._metrics = metrics
        optimizer.build(model.trainable_variables)
        self._loss_sum = tf.Variable(0.0, trainable=False)  # since the last evaluation
        self._loss_count = tf.Variable(0.0, trainable=False)
        self._best = tf.Variable(-np.inf, trainable=False, dtype=tf.float64)
        counters = {"loss_sum": self._loss_sum, "loss_count": self._loss_count, "best": self._best}
        self._checkpoints = RunCheckpoints(model, optimizer, counters, model_dir)
        # The load order, here and nowhere else: 1. this run's own checkpoint; 2. without one, weights
        # that the user gave, which a hook restores before the first step; 3. the initialisers.
        self._checkpoints.restore_latest()

    @property
    def step(self) -> int:
        """The global step: updates made since the run began."""
        return int(self.optimizer.iterations.numpy())

    def update_best(self, value: float) -> float:
        """Takes note of the headline metric of an evaluation; returns the run's highest so far."""
        self._best.assign(max(self._best.read_value().numpy(), value))
        return float(self._best.read_value().numpy())

    @functools.cached_property
    def summary_writer(self) -> tf.summary.SummaryWriter:
        """Of TensorBoard's events, in the model directory; its file is made when first used."""
        return tf.summary.create_file_writer(str(self.model_dir))

    def flush_summaries(self) -> None:
        """Writes out what TensorBoard was given so far, if anything."""
        if "summary_writer" in self.__dict__:
            self.summary_writer.flush()

    def save(self) -> Path:
        """Writes a checkpoint of the present step; the last two are kept.

        Raises:
            UserError: a weight is NaN or infinite, or the disk is full; what was saved before is left as
                it is.
        """
        for variable in self.model.trainable_variables:
            if not tf.reduce_all(tf.math.is_finite(variable.value)):
                raise UserError(
                    f"{self.model_dir}: {variable.path} is no longer finite after step {self.step}; {_CALMER}"
                )
        self.flush_summaries()  # so that a run that goes on from here misses none
        return self._checkpoints.save(self.step)

    @tf.function(autograph=False)
    def _train_step(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, keep_gradients: bool
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """One update; returns the loss before it, the learning rate it used and, if asked, gradients.

        `keep_gradients` makes a graph of its own, so that the other one need not keep any.
        """
        variables = self.model.trainable_variables
        learning_rate = tf.convert_to_tensor(self.optimizer.learning_rate)

        def of_replica(
            images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
        ) -> tuple[tf.Tensor, list[tf.Tensor]]:
            with tf.GradientTape() as tape:
                logits = self.model(images, training=True)
                with tf.name_scope("loss"):
                    loss = self._loss(labels, logits, weights)
            gradients = tape.gradient(loss, variables)
            self.optimizer.apply(gradients, variables)  # sums them over the replicas
            return loss, gradients if keep_gradients else []

        parts = self.replicas.strategy.run(of_replica, (images, labels, weights))
        loss, gradients = self._sum(parts[0]), [self._sum(part) for part in parts[1]]
        self._loss_sum.assign_add(loss)
        self._loss_count.assign_add(1.0)
        return loss, learning_rate, gradients

    def _sum(self, parts: tf.Tensor) -> tf.Tensor:
        return self.replicas.strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None)

    def step_graph(self, done: Step) -> tf.Graph:
        """The operations of a training step like `done`, forward, backward and update."""
        parts = self.replicas.spread((done.images, done.labels, done.weights))
        return self._train_step.get_concrete_function(*parts, False).graph

    def trainable_variables(self) -> dict[str, keras.Variable]:
        """The network's weights by the field's names, "conv1/kernel"."""
        return {
            f"{layer.name}/{variable.name}": variable
            for layer in self.model.layers
            for variable in layer.trainable_variables
        }

    @tf.function(autograph=False, reduce_retracing=True)
    def forward(self, images: tf.Tensor) -> tf.Tensor:
        """Logits of a batch, without dropout."""
        return self.model(images, training=False)

    def train(self, input: TrainInput, steps: int, hooks: Sequence[Hook] = ()) -> None:
        """Trains until the global step is `steps`; makes no step where it already is.

        Args:
            input: batches as a function of the step.
            steps: of the whole run, not of this call.
            hooks: called in this order, at the begin, after every step and at the end; closed in the other.

        Raises:
            UserError: another process trains in the model directory; the loss or a weight is no longer
                finite; a checkpoint can't be written.
            Interrupted: by Ctrl-C or SIGTERM, after the present step, which is saved.
            KeyboardInterrupt: by Ctrl-C or SIGTERM before the first step.
        """
        self.replicas.check(input.batch_size)
        self.replicas.check_agreed("the iterations made", self.step)
        chief = self.replicas.is_chief
        acting = [hook for hook in hooks if chief or hook.on_every_worker]
        if chief:
            run_lock.hold(self.model_dir)
        try:
            with contextlib.ExitStack() as closing:
                if chief:
                    run_files.rewind_metrics(self.model_dir, self.step)
                    evaluated = {line["step"] for line in run_files.read_metrics(self.model_dir)}
                    summaries.rewind_events(self.model_dir, self.step, self.step in evaluated)
                for hook in acting:
                    closing.callback(hook.close, self)
                    hook.begin(self)
                # Not before: a signal while weights are fetched ends the process, for nothing is to be saved.
                with interruption.watching() as self._watch:
                    for step, done in self._make_steps(input, steps, hooks):
                        for hook in acting:
                            hook.after_step(self, step, done)
                        if self.replicas.any(self._watch.signal is not None):
                            if chief:
                                self.save()
                            self.replicas.wait()  # so that none says that it is saved before it is
                            self._watch.stop()
                    for hook in acting:
                        hook.end(self)
        except (tf.errors.OpError, OSError) as error:
            run_files.explain_full_disk(error, self.model_dir)
            raise
        except interruption.Interrupted as interrupted:
            interrupted.model_dir = self.model_dir
            raise
        finally:
            self._watch = interruption.Watch()

    def _make_steps(self, input: TrainInput, steps: int, hooks: Sequence[Hook]) -> Iterator[tuple[int, Step]]:
        """Yields each step's number and outcome. What a step keeps for a hook, it keeps on every worker."""
        first = self.step + 1
        batches = iter(input.from_step(self.step, self.replicas.worker, self.replicas.workers))
        for step in range(first, steps + 1):
            started = time.perf_counter()
            images, labels, weights = next(batches)
            keep_gradients = any(hook.wants_gradients(step) for hook in hooks)
            parts = self.replicas.spread((images, labels, weights))
            loss, learning_rate, gradients = self._train_step(*parts, keep_gradients)
            # Reading the loss waits for a GPU, so that the time is the step's.
            done = Step(
                float(loss),
                float(learning_rate),
                images,
                labels,
                weights,
                dict(zip(self.trainable_variables(), gradients, strict=True)) if gradients else {},
            )
            if step > first:  # the first step also builds the graph
                self.train_seconds += time.perf_counter() - started
                self.images_trained += input.batch_size
            if not math.isfinite(done.loss):
                raise UserError(
                    f"{self.model_dir}: the training loss of step {step} is {done.loss}; {_CALMER}"
                )
            yield step, done

    def predict(self, input: EvalInput) -> np.ndarray:
        """Logits of the input's rows, in order: float32 (rows, classes).

        Raises:
            Interrupted: within `train`, a signal asks to stop.
        """
        parts = []
        total = len(input.rows) // self.replicas.workers
        with tqdm(desc="evaluating", total=total, unit=" images", disable=None, leave=False) as bar:
            for images in input.batches(self.replicas.worker, self.replicas.workers):
                if self.replicas.workers == 1:  # several end the evaluation, so that none waits for another
                    self._watch.check()
                parts.append(self.forward(images).numpy())
                bar.update(len(images))
        return self.replicas.gather(np.concatenate(parts))

    def score(self, input: EvalInput, logits: np.ndarray) -> dict[str, Any]:
        """What `predict` gave, against the labels of the input's rows.

        Returns:
            The loss over all of them under "loss", then the metrics.

        Raises:
            UserError: a logit is NaN or infinite.
        """
        examples, rows = input.examples, input.rows
        ids = [examples.ids[row] for row in rows]
        evaluation.check_finite(logits, ids, examples.classes, self.model_dir, _CALMER)
        labels, weights = examples.labels[rows], examples.weights[rows]
        loss = float(self._loss(tf.constant(labels), tf.constant(logits), tf.constant(weights)))
        return {"loss": loss, **self._metrics(labels, logits, weights)}

    def evaluate(self, input: EvalInput) -> dict[str, Any]:
        """Predicts and scores an input's rows; returns what `score` does."""
        return self.score(input, self.predict(input))

    def take_train_loss(self) -> float | None:
        """The mean training loss since this was last asked for, in this process or an earlier one."""
        count = float(self._loss_count.read_value())
        mean = float(self._loss_sum.read_value()) / count if count else None
        self._loss_sum.assign(0.0)
        self._loss_count.assign(0.0)
        return mean

    def train_and_evaluate(
        self,
        train_input: TrainInput,
        test_input: EvalInput,
        steps: int,
        eval_every: int,
        hooks: Sequence[Hook] = (),
    ) -> dict[str, Any]:
        """Trains, evaluating every `eval_every` steps and at the last.

        Where the run has made all its steps already, it is left as it is; it is evaluated only where the last
        line of its log is lost, or predictions.npz is damaged or of another step.

        Args:
            train_input, steps: as for `train`.
            test_input: the split to score; training images that are scored are transformed alike.
            eval_every: steps.
            hooks: called after the evaluation of the same step.

        Returns:
            The last evaluation, a line of metrics.jsonl: "step", "train_loss" (the mean since the
            evaluation before; None where no step was made since), "test_loss", "images_per_second" in
            training (None where no step was timed), "best" (of the headline metric, so far), the metrics, and
            as "train_sample_mAP" or "train_sample_accuracy" that of as many training images as the test split
            has, at most 1,000, scored in the same way.
        """
        sample = test_input.of_sample(train_input.examples, min(_SAMPLED, len(test_input.examples)))
        evaluate = Evaluate(test_input, sample, eval_every, steps)
        self.train(train_input, steps, [evaluate, *hooks])
        return evaluate.latest
