"""What the machine computes with, and in which precision."""

import os
import platform
from pathlib import Path

import keras
import tensorflow as tf

# As /proc/cpuinfo names them: x86's two kinds of bfloat16 products, and ARM's.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_AMPERE = (8, 0)  # the first compute capability with bfloat16


def _cpu_flags() -> set[str]:
    """What Linux says that the processor has, among other words; empty on other systems."""
    cpuinfo = Path("/proc/cpuinfo")
    return set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()


def has_bfloat16() -> bool:
    """Whether every GPU, or without a GPU the processor, multiplies bfloat16 in hardware."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(d.get("compute_capability", (0, 0)) >= _AMPERE for d in details)
    return not _BFLOAT16_FLAGS.isdisjoint(_cpu_flags())


def has_avx2_alone() -> bool:
    """Whether oneDNN computes without a GPU on a processor with AVX2 and no AVX-512; only Linux tells."""
    flags = _cpu_flags()
    return (
        "avx2" in flags
        and "avx512f" not in flags
        and os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"
        and not tf.config.list_physical_devices("GPU")
    )


def set_precision(precision: str) -> str:
    """Sets the precision of layers built from now on; weights, logits and loss stay float32.

    Sets Keras' other global settings to what the networks take, too: channels last, and float32.

    Args:
        precision: "float32", "bfloat16", or "auto" for bfloat16 where it is in hardware.

    Returns:
        "float32" or "bfloat16".
    """
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16() else "float32"
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    keras.mixed_precision.set_global_policy(policy)
    # The user's ~/.keras/keras.json may say otherwise, for other programs.
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    return precision


def describe() -> str:
    """The GPUs' names, or the processor's with its number of cores."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return ", ".join(d.get("device_name", "GPU") for d in details)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"
