"""Which precision "auto" means, and what the machine calls itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import device, networks


@pytest.fixture(autouse=True)
def policy():
    """Puts Keras' global policy back."""
    before = keras.mixed_precision.dtype_policy()
    yield
    keras.mixed_precision.set_global_policy(before)
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")


def test_other_programs_settings_of_keras_do_not_count():
    """As ~/.keras/keras.json may have them."""
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    device.set_precision("float32")
    model = networks.layers_tutorial_cnn(10, (28, 28, 1), scale=1 / 255)
    assert model(np.zeros((2, 28, 28, 1), np.uint8)).shape == (2, 10)
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert keras.optimizers.SGD(0.001).learning_rate.dtype == "float32"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A function that pretends /proc/cpuinfo is the given text, and that there are these GPUs."""

    def pretend(cpuinfo: str | None, gpus: tuple[dict, ...] = ()) -> None:
        file = tmp_path / "cpuinfo"
        if cpuinfo is not None:
            file.write_text(cpuinfo)
        monkeypatch.setattr(device, "Path", lambda path: file if path == "/proc/cpuinfo" else None)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus if kind == "GPU" else ())
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: gpu)

    return pretend


def cpuinfo(flags: str) -> str:
    core = f"model name\t: Some CPU @ 2.00GHz\nflags\t\t: fpu sse2 {flags}\nbugs\t\t: spectre\n\n"
    return core * 4


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        (cpuinfo("avx512f avx512_bf16"), "bfloat16"),
        (cpuinfo("amx_bf16 amx_tile"), "bfloat16"),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", "bfloat16"),
        (cpuinfo("avx2 fma"), "float32"),
        (cpuinfo("avx512_fp16 not_bf16_really"), "float32"),
        ("", "float32"),
        (None, "float32"),
    ],
    ids=["AVX-512", "AMX", "ARM", "AVX2", "similar names", "empty", "no /proc"],
)
def test_auto_follows_the_processors_flags(machine, text, precision):
    machine(text)
    assert device.set_precision("auto") == precision


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ([(8, 0)], "bfloat16"),
        ([(9, 0), (8, 6)], "bfloat16"),
        ([(7, 5)], "float32"),
        ([(8, 0), (7, 0)], "float32"),
    ],
)
def test_auto_follows_the_oldest_gpu_whatever_the_processor(machine, capabilities, precision):
    machine(cpuinfo("amx_bf16"), tuple({"compute_capability": c} for c in capabilities))
    assert device.set_precision("auto") == precision


def test_a_gpu_without_a_known_capability_computes_in_float32(machine):
    machine(cpuinfo("amx_bf16"), ({"device_name": "unknown"},))
    assert device.set_precision("auto") == "float32"


@pytest.mark.parametrize("flags", ["amx_bf16", "avx2"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_explicit_choice_is_respected(machine, flags, precision):
    machine(cpuinfo(flags))
    assert device.set_precision(precision) == precision


@pytest.mark.parametrize(("precision", "compute"), [("float32", "float32"), ("bfloat16", "bfloat16")])
def test_layers_built_afterwards_compute_in_it_with_float32_weights(precision, compute):
    device.set_precision(precision)
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    assert layer.compute_dtype == compute
    assert layer.kernel.dtype == "float32"


def test_the_description_names_processor_or_gpus(machine):
    machine(cpuinfo("avx2"))
    assert "Some CPU @ 2.00GHz" in device.describe()
    assert "cores" in device.describe()
    machine(cpuinfo("avx2"), ({"device_name": "Card A"}, {"device_name": "Card B"}))
    assert device.describe() == "Card A, Card B"


def test_a_machine_without_cpuinfo_has_a_description_too(machine):
    machine(None)
    assert "cores" in device.describe()


@pytest.mark.parametrize(
    ("text", "gpus", "alone"),
    [
        (cpuinfo("avx avx2 fma"), (), True),
        (cpuinfo("avx2 avx512f"), (), False),
        (cpuinfo("avx"), (), False),
        (cpuinfo("avx2"), ({"device_name": "Card A"},), False),
        (None, (), False),
    ],
)
def test_where_onednn_has_avx2_alone(machine, monkeypatch, text, gpus, alone):
    machine(text, gpus)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    assert device.has_avx2_alone() == alone
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert not device.has_avx2_alone()
