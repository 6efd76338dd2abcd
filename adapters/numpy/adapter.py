"""Bridge to NumPy: the arguments are NumPy arrays already."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ...specs.call import Call, Signature
from ..base import Backend, Form, Forms, Subject, baselines_in, form_of, not_installed
from ..binding import binding_of
from ..spelling import Spelling
from ..user import returning
from .script import spell
from .subject import NumpySubject

SCIPY = "numpy:scipy"

# Which functions are subjects of which loss. Where the gradient of one has a function of its own, it is called
# `<name>_gradient`, takes `upstream` besides, and lies in the same module.
_BY_INPUT = "the port offers the gradient with respect to input only"
FORMS: Forms = {
    "nll_loss": (Form(f"{__package__}:nll_loss", "numpy", "composed", {"weight gradient": _BY_INPUT}),),
    "log_softmax": (
        Form(f"{__package__}:log_softmax", "numpy", "composed"),
        Form("scipy.special:log_softmax", SCIPY, names={"input": "x", "dim": "axis"}, needs="scipy"),
    ),
    "cross_entropy": (Form(f"{__package__}:cross_entropy", "numpy", "composed", {"target gradient": _BY_INPUT}),),
}


_lacking = functools.partial(not_installed, FORMS)


def _subjects(signature: Signature, device: str) -> list[Subject]:
    forms, lacking = FORMS.get(signature.loss, ()), _lacking(signature)
    return [_subject(form, signature) for form in forms if form.subject not in lacking]


def _subject(form: Form, signature: Signature) -> NumpySubject:
    module, _, name = form.function.partition(":")
    gradient = getattr(importlib.import_module(module), f"{name}_gradient", None)
    function = binding_of(form, signature).bound(form.load())
    return NumpySubject(function, form.subject, form.binding, gradient, form.without, form.domain)


def _spell(subject: str, call: Call) -> Spelling:
    """A call of a subject's own function, which a user's takes the place of."""
    loss = call.signature.loss
    return spell(form_of(FORMS, loss, subject, f"{__package__}:{loss}"), call)


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
    spell=_spell,
    lacking=_lacking,
    baselines=baselines_in(f"{__package__}.baselines"),
    exponential="numpy:exp",
)
