"""Scopes of operations, which TensorBoard draws as boxes."""

import tensorflow as tf


def of_gradient(forward: str) -> tf.name_scope:
    """The scope of a gradient that isn't TensorFlow's own, named like those that are.

    Args:
        forward: the scope that its forward pass was in, by `tf.get_current_name_scope`.
    """
    # A name that ends with a slash is the whole scope, wherever it is entered.
    return tf.name_scope(f"gradient_tape/{forward}/" if forward else "gradient_tape/")
