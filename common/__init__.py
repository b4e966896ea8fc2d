"""What the numbered scripts share; one subject a module."""

import os

# TensorFlow reads this when it is imported: its start-up notes about CUDA and oneDNN hide
# the one line a user must see. An explicit setting of the user's wins.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
