"""The hook that scores a run while it trains."""

import contextlib
import math
import sys
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from common import hooks, run_files, summaries
from common.input import EvalInput
from common.interruption import Interrupted

if TYPE_CHECKING:
    from common.estimator import Estimator


class Evaluate(hooks.Hook):
    """Scores the test split, and a sample of the training images, every so many steps and at the last one.

    Both scores go to metrics.jsonl and TensorBoard; the test split's is printed, its logits go to
    predictions.npz.

    Attributes:
        latest: the last evaluation, a line of metrics.jsonl: of this process, or where all steps were made
            by earlier ones, theirs; empty before the first.
    """

    on_every_worker = True  # each predicts its share

    def __init__(self, test_input: EvalInput, train_sample: EvalInput, every: int, last_step: int) -> None:
        """
        Args:
            test_input: the split.
            train_sample: of the training split; only its headline metric is kept.
            every: steps from evaluation to evaluation.
            last_step: of the run.
        """
        self.latest: dict[str, Any] = {}
        self._recorded: set[int] = set()
        self._input = test_input
        self._train_sample = train_sample
        self._every = every
        self._last_step = last_step
        self._rate = hooks.Rate()

    def begin(self, estimator: "Estimator") -> None:
        lines = run_files.read_metrics(estimator.model_dir)
        self._recorded = {line["step"] for line in lines}
        step = estimator.step
        if step in self._recorded:  # perhaps only after the checkpoint of the step
            estimator.take_train_loss()
            estimator.update_best(max(line[estimator.headline] for line in lines))
            if step >= self._last_step and run_files.step_of_predictions(estimator.model_dir) == step:
                self.latest = lines[-1]
        elif 0 < step < self._last_step and self._is_due(step):
            self._evaluate(estimator, step)  # it was interrupted

    def _is_due(self, step: int) -> bool:
        return step % self._every == 0 or step == self._last_step

    def after_step(self, estimator: "Estimator", step: int, done: hooks.Step) -> None:
        if self._is_due(step):
            # When the run goes on it begins with this evaluation. The other hooks of this step still act.
            with contextlib.suppress(Interrupted):
                self._evaluate(estimator, step)

    def end(self, estimator: "Estimator") -> None:
        if not self.latest:  # of all steps, which earlier processes made, something is missing
            self._evaluate(estimator, estimator.step)

    def _evaluate(self, estimator: "Estimator", step: int) -> None:
        logits = estimator.predict(self._input)
        metrics = estimator.score(self._input, logits)
        score = metrics[estimator.headline]
        sampled = {estimator.headline: estimator.evaluate(self._train_sample)[estimator.headline]}
        if not math.isfinite(sampled[estimator.headline]):  # none of the sample shows any class
            sampled = {}
        rate = self._rate.read(estimator)
        self.latest = {
            "step": step,
            "train_loss": estimator.take_train_loss(),
            "test_loss": metrics["loss"],
            "images_per_second": None if rate is None else round(rate, 1),
            "best": estimator.update_best(score),
            **{f"train_sample_{name}": value for name, value in sampled.items()},
            **{name: value for name, value in metrics.items() if name != "loss"},
        }
        if not estimator.replicas.is_chief:
            return
        recorded = step in self._recorded
        # What is there may be of a later step, whose line is gone.
        if not recorded or run_files.step_of_predictions(estimator.model_dir) != step:
            run_files.write_predictions(estimator.model_dir, logits, self._input.examples, step)
        if recorded:
            return
        summaries.write_evaluation(estimator.summary_writer, step, metrics, sampled)
        examples = self._input.examples
        if examples.labels.ndim == 2:  # each class a decision of its own
            summaries.write_pr_curves(
                estimator.summary_writer, step, examples.labels, logits, examples.weights, examples.classes
            )
        # Last, so that what has its line here is complete.
        run_files.append_metrics(estimator.model_dir, self.latest)
        train_loss = "" if self.latest["train_loss"] is None else f"{self.latest['train_loss']:.4f}"
        speed = "" if rate is None else f"  {hooks.describe_speed(rate)}"
        tqdm.write(
            f"step {step:>6,}  train loss {train_loss}  test loss {metrics['loss']:.4f}  "
            f"{estimator.headline} {score:.4f}{speed}",
            file=sys.stdout,
        )
        sys.stdout.flush()
