"""Training on several devices of one machine, or on several machines, by `tf.distribute`.

The global batch is what it is on one device; every replica takes its slice of the same batch.
"""

import hashlib
import json
import os
import signal
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import UserError

# What the others see of a worker that is gone; which one depends on when it went.
_LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def start(name: str) -> None:
    """Makes the strategy that the command line names the process' own; before anything else of TensorFlow.

    Args:
        name: "none"; "mirrored", all devices of this machine; "multiworker", the machines that the
            environment's TF_CONFIG names (https://www.tensorflow.org/guide/distributed_training#TF_CONFIG).

    Raises:
        UserError: TF_CONFIG is missing or wrong, or its port on this machine is taken.
    """
    if name == "none":
        return
    if name == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
    else:
        workers = _check_tf_config(os.environ.get("TF_CONFIG"))
        # TensorFlow waits outside of Python, whose own handler would never be reached.
        by_python = signal.signal(signal.SIGINT, signal.SIG_DFL)
        print(f"waiting for the workers of TF_CONFIG, {', '.join(workers)}; Ctrl-C stops", flush=True)
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"TF_CONFIG: the worker can't start ({reason}); is its port free?") from error
        finally:
            signal.signal(signal.SIGINT, by_python)
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # TensorFlow has put in its own
    tf.distribute.experimental_set_strategy(strategy)


def _check_tf_config(text: str | None) -> list[str]:
    """The workers' addresses."""
    example = (
        'for example {"cluster": {"worker": ["one:2222", "two:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    if not text:
        raise UserError(f"--strategy multiworker needs the environment's TF_CONFIG, {example}")
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        whole = (
            len(config["cluster"]) == 1
            and all(isinstance(worker, str) and worker.rpartition(":")[2].isdigit() for worker in workers)
            and task["type"] == "worker"
            and 0 <= int(task["index"]) < len(workers)
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG: is not what is expected, {example}") from error
    if not whole:
        raise UserError(f"TF_CONFIG: its workers or its task are wrong, {example}")
    return workers


def explain_lost_worker(error: Exception) -> None:
    """Raises UserError for an error that a worker that is gone causes in the others; else does nothing."""
    if Replicas().workers > 1 and isinstance(error, _LOST_WORKER):
        raise UserError(
            f"another worker is gone, or can't be reached ({type(error).__name__}); what it printed may say "
            "why. Start all of them again, they go on from the last checkpoint"
        ) from error


class Replicas:
    """The replicas of the strategy that is the process' own, and this process' place among them.

    Attributes:
        strategy: the strategy.
        count: replicas in all.
        worker, workers: number of this process, from 0, and how many there are.
        is_chief: whether this process writes.
    """

    def __init__(self) -> None:
        self.strategy = tf.distribute.get_strategy()
        self.count = self.strategy.num_replicas_in_sync
        resolver = self.strategy.cluster_resolver
        spec = resolver.cluster_spec().as_dict() if resolver else {}
        self.workers = len(spec.get("worker", [None]))
        self.worker = resolver.task_id if spec else 0
        self.is_chief = self.worker == 0

    @property
    def local_count(self) -> int:
        """Replicas of this process."""
        return self.count // self.workers

    def check(self, batch_size: int) -> None:
        """Raises UserError where a batch can't be divided among the replicas."""
        if batch_size % self.count:
            raise UserError(
                f"--batch_size {batch_size}: can't be divided among {self.count} replicas; "
                f"give a multiple of {self.count}"
            )

    def wait(self) -> None:
        """Returns when all workers have come here."""
        self.any(False)

    def check_agreed(self, what: str, value: object) -> None:
        """Raises UserError, on all workers, where one has another value than the first."""
        if self.workers == 1:
            return
        digest = hashlib.sha256(repr(value).encode()).digest()[:7]
        digests = self.gather(np.array([int.from_bytes(digest, "big")]))
        others = [str(worker) for worker in range(self.workers) if digests[worker] != digests[0]]
        if others:
            raise UserError(
                f"{what} of worker {', '.join(others)} differ from those of worker 0; start all workers with "
                "the same command on the same data and the same model directory"
            )

    def any(self, flag: bool) -> bool:
        """Whether it is true on any of the workers; all have to ask."""
        return flag if self.workers == 1 else bool(self._sum(tf.constant(float(flag))))

    @tf.function(autograph=False)
    def _sum(self, value: tf.Tensor) -> tf.Tensor:
        parts = self.strategy.run(lambda: value)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None)

    def spread(self, values: Any) -> Any:
        """Gives each replica of this process its part of a structure of tensors, in order."""
        if self.local_count == 1:
            return values
        parts = [tf.split(tensor, self.local_count) for tensor in tf.nest.flatten(values)]

        def of_replica(context: tf.distribute.experimental.ValueContext) -> Any:
            number = context.replica_id_in_sync_group % self.local_count
            return tf.nest.pack_sequence_as(values, [part[number] for part in parts])

        return self.strategy.experimental_distribute_values_from_function(of_replica)

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """The rows of all workers, in the order of the workers; each gives its own, any number."""
        if self.workers == 1:
            return rows
        own = np.array_split(rows, self.local_count)

        def of_replica(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            return tf.constant(own[context.replica_id_in_sync_group % self.local_count])

        parts = self.strategy.experimental_distribute_values_from_function(of_replica)
        return self.strategy.gather(parts, axis=0).numpy()


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Within a replica's step: the sum of what every replica has."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
