"""Bridge to NumPy: the arguments are NumPy arrays already."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ...specs.call import Signature
from ..base import Backend, Form, Forms, Subject, baselines_in
from ..user import returning
from .script import spell
from .subject import NumpySubject

# Which ports are subjects of which loss. Where the gradient of one has a function of its own, it is called
# `<name>_gradient`, takes `upstream` besides, and lies in the same module.
FORMS: Forms = {
    "nll_loss": (
        Form(
            f"{__package__}.ports.nll_loss:nll_loss",
            "numpy",
            "composed",
            without={"weight gradient": "the port offers the gradient with respect to input only"},
        ),
    ),
}


def _subjects(signature: Signature, device: str) -> list[Subject]:
    return [_subject(form) for form in FORMS.get(signature.loss, ())]


def _subject(form: Form) -> NumpySubject:
    module, _, name = form.function.partition(":")
    gradient = getattr(importlib.import_module(module), f"{name}_gradient", None)
    return NumpySubject(form.load(), form.subject, form.binding, gradient, without=form.without)


def _wrap(signature: Signature, function: Callable[..., Any], name: str, device: str) -> list[Subject]:
    """A user's own function."""
    return [NumpySubject(returning(function, np.ndarray | np.generic), name)]


BACKEND = Backend(
    name="numpy",
    module="numpy",
    install="pip install numpy",
    subjects=_subjects,
    version=lambda: np.__version__,
    devices=lambda: ["cpu"],
    wrap=_wrap,
    spell=spell,
    baselines=baselines_in(f"{__package__}.baselines"),
    exponential="numpy:exp",
)
