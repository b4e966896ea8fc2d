"""SGD with momentum and the staircase schedule."""

import keras
import tensorflow as tf


class MomentumSGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD` with momentum, updating a variable in one pass over memory.

    velocity = momentum * velocity - learning_rate * gradient; variable += velocity. Keras writes this
    as three operations, each over all of memory; with CaffeNet's 58 million weights that makes a step of 10
    images in bfloat16 a tenth slower (docs/speed.md). The state is Keras' own, so checkpoints are the same.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor | keras.Variable
    ) -> None:
        """One variable's update; Keras calls it, on the device that holds the variable."""
        if not self.momentums:  # momentum 0: Keras keeps no velocities
            return super().update_step(gradient, variable, learning_rate)
        velocity = self.momentums[self._get_variable_index(variable)].value
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )


def staircase(
    learning_rate: float, decay_steps: int, decay_rate: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """learning_rate * decay_rate ** floor(step / decay_steps), step from 0 (handout Q2.2)."""
    return keras.optimizers.schedules.ExponentialDecay(learning_rate, decay_steps, decay_rate, staircase=True)
