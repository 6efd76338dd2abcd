"""Backends carry any loss: tables of functions, users' functions, scripts, and files of known divergences."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossparity.adapters import registry, user
from lossparity.adapters.base import Backend, Form
from lossparity.adapters.execution import execute
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.findings import reproducer
from lossparity.conformance.judging import rows
from lossparity.conformance.judging.ledger import Ledger
from lossparity.conformance.lint import SUBJECTS
from lossparity.specs import losses
from lossparity.specs.call import Array, Call, Returned, Transform, Unsupported
from lossparity.specs.domain import Domain
from lossparity.specs.errors import BridgeError, LedgerError, UsageError
from lossparity.specs.loss import Loss
from lossparity.specs.nll_loss.generate import case_of_call
from lossparity.specs.nll_loss.loss import LOSS
from lossparity.specs.nll_loss.signature import NLL_LOSS

from . import any_loss
from .any_loss import POWER_LOSS, power_loss
from .own_vectors import GOOD

# Whatever is computed of these is exact, also in float32.
X, Y = np.array([1.0, 3.0, -2.0, 0.25]), np.array([0.5, 1.0, 1.0, 0.75])
SCALE = np.array([1.0, 2.0, 0.5, 4.0])
FUNCTIONS = {"tensorflow": any_loss.in_tensorflow}
# Places of functions by the names of subjects; torch:module is a class.
TABLES = {
    "numpy": {"numpy": "power_loss"},
    "torch": {"torch": "power_loss", "torch:compile": "power_loss", "torch:module": "PowerLoss"},
    "jax": dict.fromkeys(("jax", "jax:x32", "jax:jit"), "power_loss"),
    "tensorflow": dict.fromkeys(("tensorflow", "tensorflow:function", "tensorflow:xla"), "in_tensorflow"),
}


def started(name: str) -> Backend:
    backend = registry.backend(name)
    pytest.importorskip(backend.module)
    registry.start(backend)
    return backend


def calls() -> dict[str, tuple[Call, Array | float]]:
    """Calls, and what must come of them: the value, and derivatives by both arrays."""
    slope = 4 * (X - Y) ** 3 * SCALE / 4
    sum_of = {"upstream": np.array(1.0)}
    gradient, by_truth = (Transform("gradient", wrt=wrt, **sum_of) for wrt in ("", "truth"))
    given: dict[str, Any] = {"guess": X, "truth": Y, "scale": SCALE, "power": 4}
    return {
        "value": (POWER_LOSS.call(**given), ((X - Y) ** 4 * SCALE).mean()),
        "none": (POWER_LOSS.call(X, Y, reduction="none", omitted=("power", "scale")), (X - Y) ** 2),
        "gradient": (POWER_LOSS.call(**given, transform=gradient), slope),
        "by truth": (POWER_LOSS.call(**given, transform=by_truth), -slope),
        "jvp": (POWER_LOSS.call(**given, transform=Transform("jvp", direction=np.ones(4))), slope.sum()),
    }


def check(subject: Any, least: int) -> None:
    """Guard that a subject computes each call that it takes, of which there are so many at least."""
    ran = 0
    for name, (call, due) in calls().items():
        if "float64" in subject.capabilities.without:
            call = call.holding({name: array.astype(np.float32) for name, array in call.arrays()})
        outcome, _ = execute(subject, call)
        if not isinstance(outcome, Unsupported):
            assert isinstance(outcome, Returned), (subject.name, name, outcome)
            assert np.array_equal(outcome.value, due), (subject.name, name)
            ran += 1
    assert ran >= least


@pytest.mark.parametrize("name", [*registry.BUILT_IN, "lossparity.adapters.template.adapter:BACKEND"])
def test_there_is_nothing_for_a_loss_that_is_not_in_the_table(name: str) -> None:
    backend = started(name)
    assert backend.subjects(POWER_LOSS, "cpu") == []
    assert backend.subjects(NLL_LOSS, "cpu")
    if backend.baselines is not None:
        assert backend.baselines(POWER_LOSS, "cpu") == []
        assert backend.baselines(dataclasses.replace(NLL_LOSS, loss="no.such/name"), "cpu") == []
        assert backend.baselines(NLL_LOSS, "cpu")


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_a_line_in_the_table_makes_a_subject(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each way in which a backend executes functions, the module of torch included."""
    backend = started(name)
    table = importlib.import_module(f"lossparity.adapters.{name}.adapter").FORMS
    assert set(SUBJECTS[name]) == {form.subject for forms in table.values() for form in forms} >= set(TABLES[name])
    reason = {"gradient": "why"}
    forms = [Form(f"{any_loss.__name__}:{place}", subject) for subject, place in TABLES[name].items()]
    without = {} if name != "numpy" else {"truth gradient": "not written"}
    monkeypatch.setitem(table, "power_loss", tuple(dataclasses.replace(form, without=without) for form in forms))
    made = backend.subjects(POWER_LOSS, "cpu")
    assert [subject.name for subject in made] == list(TABLES[name])
    for subject in made:
        check(subject, 3)
    monkeypatch.setitem(table, "power_loss", (dataclasses.replace(forms[0], binding="composed", without=reason),))
    (subject,) = backend.subjects(POWER_LOSS, "cpu")
    assert (subject.capabilities.binding, subject.capabilities.without["gradient"]) == ("composed", "why")
    for what in ("gradient", "by truth"):  # without a gradient there is none by any array
        assert isinstance(execute(subject, calls()[what][0])[0], Unsupported)


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_a_users_function_may_be_of_any_loss(name: str) -> None:
    backend = started(name)
    function = FUNCTIONS.get(name, power_loss)
    target = user.target_of(function, name, Domain(dtypes=("float64", "float32")), signature=POWER_LOSS)
    for subject in user.subjects(POWER_LOSS, function, target, backend, "cpu"):
        check(subject, 2)
    if backend.compiler is not None:
        target = dataclasses.replace(target, compiled=True)
        for subject in user.subjects(POWER_LOSS, function, target, backend, "cpu"):
            assert subject.capabilities.traced
            check(subject, 3)


def test_a_gradient_by_another_array_is_not_taken_for_it() -> None:
    """A function of its own gives the gradient by the main array; who does not declare the others is told."""
    subject = NumpySubject(power_loss, "mine", gradient=any_loss.power_loss_gradient)
    assert isinstance(execute(subject, calls()["gradient"][0])[0], Returned)
    with pytest.raises(BridgeError, match="declare in `without` that there is no 'truth gradient'"):
        execute(subject, calls()["by truth"][0])


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (any_loss.takes_one, r"takes \(guess\), but is called with \(guess, truth, scale=None, power=2, "),
        (any_loss.needs_more, r"called with \(guess, truth, scale=None, power=2, reduction='mean'\): missing"),
        (lambda input, target, weight=None, ignore_index=-100, reduction="mean": input, r"unexpected .*'scale'|scale"),
    ],
)
def test_a_function_that_does_not_fit_the_signature_is_told(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        user.target_of(function, "numpy", signature=POWER_LOSS)
    user.target_of(power_loss, "numpy", signature=POWER_LOSS)
    with pytest.raises(UsageError, match=r"is called with \(input, target, weight=None, ignore_index=-100, reduc"):
        user.target_of(power_loss, "numpy", signature=NLL_LOSS)


# --- scripts ---------------------------------------------------------------------------------------------


def spelt(backend: str, subject: str, call: Call) -> tuple[tuple[str, ...], str]:
    spell = registry.backend(backend).spell
    assert spell is not None
    spelling = spell(subject, call)
    return spelling.function, spelling.result


def test_a_module_is_written_as_users_write_it() -> None:
    x, t = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    call = NLL_LOSS.call(x, t, np.ones(3, np.float32), ignore_index=-1)
    assert spelt("torch", "torch:module", call) == (
        ("from torch.nn import NLLLoss",),
        'NLLLoss(weight=w, ignore_index=-1, reduction="mean")(x, t)',
    )
    short = NLL_LOSS.call(x, t, omitted=("weight", "ignore_index", "reduction"))
    assert spelt("torch", "torch:module", short)[1] == "NLLLoss()(x, t)"
    assert spelt("torch", "torch", short) == (("from torch.nn.functional import nll_loss",), "nll_loss(x, t)")


def test_scripts_name_the_function_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossparity.adapters.torch.adapter import FORMS

    call = POWER_LOSS.call(X, Y, omitted=("scale", "power"))
    assert spelt("torch", "torch:any_loss.power_loss", call)[1] == 'power_loss(x, y, reduction="mean")'  # a user's
    form = Form("package.losses:own_power", "torch:compile")
    monkeypatch.setitem(FORMS, "power_loss", (form,))
    imported, compiled = spelt("torch", "torch:compile", call)[0]
    assert imported == "from package.losses import own_power as power_loss"
    assert compiled == "power_loss = torch.compile(power_loss, fullgraph=True, dynamic=False)"


def test_options_are_fixed_by_the_compiler_of_a_script() -> None:
    case = dataclasses.replace(LOSS.case_of(calls_of_nll(), "value", 3, "test", ()), call=calls()["value"][0])
    key = user.target("jax", "any_loss:power_loss", compiled=True).key
    fault = reproducer.Fault(case=case, outcome=None, judgement=None, traits=None, subject="jax", key=key, device="cpu")
    imported, line = reproducer._spelling(fault).function
    assert imported == "from any_loss import power_loss as power_loss"
    assert line == 'power_loss = jax.jit(power_loss, static_argnames=["power", "reduction"])'


def calls_of_nll(loss: Loss = LOSS) -> Call:
    """A call that torch-unbatched-1d-target selects, of any loss with these arguments."""
    return loss.signature.call(np.zeros(3, np.float32), np.zeros(1, np.int64))


# --- known divergences -----------------------------------------------------------------------------------


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Loss:
    """The same loss under another name, as if it were a user's own."""
    made = dataclasses.replace(LOSS, signature=dataclasses.replace(NLL_LOSS, loss="twin"))
    monkeypatch.setitem(losses._own, "twin", made)
    return made


def test_a_row_speaks_of_calls_of_its_loss_alone(twin: Loss) -> None:
    (row,) = rows.load(GOOD, "x.toml", LOSS)
    case = case_of_call(calls_of_nll(), "error", 3, "test")
    other = dataclasses.replace(case, call=calls_of_nll(twin))
    assert Ledger((row,)).matching(case) == (row,)
    assert Ledger((row,)).matching(other) == ()


def test_a_file_is_about_the_loss_whose_name_it_bears(twin: Loss, tmp_path: Path) -> None:
    """Under any other name a ledger is about the default one; the pinned vector is of the same loss."""
    for name in ("nll_loss.toml", "known.toml"):
        (tmp_path / name).write_text(GOOD, encoding="utf-8")
        (row,) = rows.load_file(tmp_path / name, ["torch"])
        assert row.loss == "nll_loss"
    (tmp_path / "twin.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(LedgerError, match="vector torch-unbatched-1d-target is one of nll_loss, and the row of twin"):
        rows.load_file(tmp_path / "twin.toml", ["torch"])


ADAPTER = "from lossparity.adapters.template.adapter import BACKEND\n"


def test_an_adapter_brings_a_file_for_each_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "brings" / "divergences"
    folder.mkdir(parents=True)
    (tmp_path / "brings" / "__init__.py").touch()
    (tmp_path / "brings" / "adapter.py").write_text(ADAPTER, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert rows.brought_along("brings.adapter:BACKEND", ["torch"]) == ()
    (folder / "nll_loss.toml").write_text(GOOD, encoding="utf-8")
    (folder / "my_vectors.json").write_text("{}", encoding="utf-8")
    assert [row.id for row in rows.brought_along("brings.adapter:BACKEND", ["torch"])] == ["a"]
    (folder / "nl_loss.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(LedgerError, match=r"nl_loss\.toml: .* bears the name of their loss: no loss 'nl_loss'"):
        rows.brought_along("brings.adapter:BACKEND", ["torch"])
