"""Variants of log_softmax: the losses that are edited, and the edits; each variant is a function of this module."""

from __future__ import annotations

from ..zoo import functions

__getattr__ = functions("log_softmax")
