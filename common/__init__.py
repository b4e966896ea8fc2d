"""What the numbered scripts share; one subject a module."""

import os
import platform

# TensorFlow reads these when it is imported; an explicit setting of the user's wins.
# Its start-up notes about CUDA and oneDNN hide the one line a user must see.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# On Linux it computes with oneDNN only where the processor has instructions for neural networks. On other x86
# processors a step of CaffeNet would take 1.6 times as long without (docs/speed.md).
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# Keras takes another backend from the environment or from ~/.keras/keras.json; nothing here would work.
os.environ["KERAS_BACKEND"] = "tensorflow"
