"""Imports torch before any test can import another framework: its OpenMP clashes with theirs the other way round."""

import importlib
import importlib.util

if importlib.util.find_spec("torch"):
    importlib.import_module("torch")
