"""Functions of the modules compiled_torch, compiled_jax and compiled_tensorflow as subjects, and calls of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from lossparity.adapters import registry, user
from lossparity.adapters.base import Subject
from lossparity.specs.call import Call
from lossparity.specs.nll_loss.signature import NLL_LOSS

from . import compiled_jax, compiled_tensorflow, compiled_torch

OURS = {"torch": compiled_torch, "jax": compiled_jax, "tensorflow": compiled_tensorflow}


def subjects(framework: str, name: str, **options: Any) -> list[Subject]:
    """A function of these modules as `lossparity check` runs it."""
    backend = registry.backend(framework)
    registry.start(backend)
    target = user.target(framework, f"{OURS[framework].__name__}:{name}", **options)
    return user.subjects(NLL_LOSS, getattr(OURS[framework], name), target, backend, "cpu")


def call(shape: tuple[int, ...] = (4, 3), target: Any = (0, 2, 1, -100), **more: Any) -> Call:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return NLL_LOSS.call(x, np.array(target), **more)


def bad(**more: Any) -> Call:
    return call(target=(0, 3, 1, 2), **more)
