"""Bridge to NumPy: the arguments are NumPy arrays already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import Backend, Baseline, Subject
from ..user import returning
from .script import spell
from .subject import NumpySubject


def _subjects(device: str) -> list[Subject]:
    from .port import nll_loss, nll_loss_gradient

    return [NumpySubject(nll_loss, gradient=nll_loss_gradient)]


def _wrap(function: Callable[..., Any], name: str, device: str) -> list[Subject]:
    """A user's own function."""
    return [NumpySubject(returning(function, np.ndarray | np.generic), name)]


def _baselines(device: str) -> list[Baseline]:
    from .baselines import baselines

    return baselines(device)


BACKEND = Backend(
    name="numpy",
    module="numpy",
    install="pip install numpy",
    subjects=_subjects,
    version=lambda: np.__version__,
    devices=lambda: ["cpu"],
    wrap=_wrap,
    spell=spell,
    baselines=_baselines,
)
