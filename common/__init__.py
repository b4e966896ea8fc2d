"""What the numbered scripts share; one subject a module."""

import os

# TensorFlow reads this when it is imported: its start-up notes about CUDA and oneDNN hide
# the one line a user must see. An explicit setting of the user's wins.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Keras takes another backend from the environment or from ~/.keras/keras.json; nothing here would work.
os.environ["KERAS_BACKEND"] = "tensorflow"
