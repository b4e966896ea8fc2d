"""Dropout that doesn't depend on the number of replicas."""

import keras
import tensorflow as tf


class Dropout(keras.layers.Dropout):
    """Keras' own, but among several replicas each takes its slice of one mask for the whole batch.

    Keras keeps the same random state on all replicas, so that each would draw the mask of every other one.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """
        Args:
            inputs: (B, ...), this replica's slice; all replicas have equally many.
            training: whether to drop.
        """
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync if context else 1
        if replicas == 1 or not training:
            return super().call(inputs, training)
        count = tf.shape(inputs)[0]
        whole = super().call(tf.ones([count * replicas, *inputs.shape[1:]], inputs.dtype), training)
        first = count * context.replica_id_in_sync_group
        return inputs * whole[first : first + count]
