"""SGD with momentum against Keras' own and a recurrence written out; the staircase at its edges."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.optimizers import MomentumSGD, staircase

STEPS = 50


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(5, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)]


def gradients_of(values: list) -> list:
    """Of a quadratic with a curvature of its own for each column; for arrays and for tensors."""
    curvatures = np.array([0.1, 0.5, 1.2, 3.0], np.float32)
    return [curvatures * (value - 1) for value in values]


def train(optimizer, variables, steps: int = STEPS) -> None:
    @tf.function
    def step():
        optimizer.apply(gradients_of([variable.value for variable in variables]), variables)

    optimizer.build(variables)
    for _ in range(steps):
        step()


def trained(optimizer) -> list[np.ndarray]:
    variables = [keras.Variable(value) for value in start()]
    train(optimizer, variables)
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_equals_keras_sgd(momentum, nesterov):
    ours = trained(MomentumSGD(0.05, momentum, nesterov))
    keras_own = trained(keras.optimizers.SGD(0.05, momentum, nesterov))
    for one, other in zip(ours, keras_own, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_equals_the_recurrence_under_a_schedule():
    """velocity = momentum * velocity - rate * gradient; value += velocity; the rate halves every 20."""
    values = [value.astype(np.float64) for value in start()]
    velocities = [np.zeros_like(value) for value in values]
    for step in range(STEPS):
        rate = 0.05 * 0.5 ** (step // 20)
        for i, gradient in enumerate(gradients_of(values)):
            velocities[i] = 0.9 * velocities[i] - rate * gradient
            values[i] = values[i] + velocities[i]
    ours = trained(MomentumSGD(staircase(0.05, 20, 0.5), 0.9))
    for one, other in zip(ours, values, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_state_saved_by_one_goes_on_in_the_other(tmp_path, ours_first):
    def checkpoint(optimizer, variables):
        return tf.train.Checkpoint(state=[v.value for v in optimizer.variables + variables])

    expected = trained(MomentumSGD(0.05, 0.9))
    first, second = MomentumSGD(0.05, 0.9), keras.optimizers.SGD(0.05, 0.9)
    if not ours_first:
        first, second = second, first
    variables = [keras.Variable(value) for value in start()]
    train(first, variables, 20)
    path = checkpoint(first, variables).write(str(tmp_path / "state"))

    variables = [keras.Variable(np.zeros_like(value)) for value in start()]
    second.build(variables)
    checkpoint(second, variables).read(path).assert_consumed()
    assert int(second.iterations.numpy()) == 20
    train(second, variables, STEPS - 20)
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 1e-3), (9_999, 1e-3), (10_000, 5e-4), (19_999, 5e-4), (20_000, 2.5e-4), (39_999, 1.25e-4)],
)
def test_the_handouts_staircase(step, rate):
    assert float(staircase(0.001, 10_000, 0.5)(step)) == pytest.approx(rate, rel=1e-6)


def test_the_first_update_uses_the_rate_of_step_0():
    """Rates 1 and 1/2, momentum 1/2, gradient -1: velocities 1 and 1/2 + 1/2, so the value is 2."""
    variable = keras.Variable([0.0])
    optimizer = MomentumSGD(staircase(1.0, 1, 0.5), 0.5)
    for _ in range(2):
        optimizer.apply([tf.constant([-1.0])], [variable])
    assert variable.numpy() == pytest.approx(2)
