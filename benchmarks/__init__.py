"""Measurements of speed. They take minutes, want a quiet machine, and are no tests."""
