"""Lines of backends' tables: functions with arguments of their own names, for a part of a loss's calls."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossparity.adapters import registry
from lossparity.adapters.base import Form, form_of
from lossparity.adapters.execution import execute
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.planning import survey
from lossparity.conformance.planning.survey import NOT_PROBED, Survey
from lossparity.reports.records import SubjectInfo
from lossparity.specs.call import BFLOAT16, Call, Returned, Transform, Unsupported
from lossparity.specs.cross_entropy.signature import CROSS_ENTROPY
from lossparity.specs.domain import Domain
from lossparity.specs.log_softmax.signature import LOG_SOFTMAX
from lossparity.specs.nll_loss.signature import NLL_LOSS

from .any_loss import POWER_LOSS
from .reproducing import run_all
from .test_scripts import words

X = (np.arange(12).reshape(3, 4) % 5 / 3).astype(np.float32)
P = np.array([[0.5, 0.25, 0.25, 0], [0, 0, 0, 1], [0.125, 0.5, 0.25, 0.125]], np.float32)
CALLS = {
    "rows": LOG_SOFTMAX.call(X, 1),
    "columns": LOG_SOFTMAX.call(X, 0),
    "slope": LOG_SOFTMAX.call(X, -2, transform=Transform("gradient", X * 2)),
    "indices": CROSS_ENTROPY.call(X, np.array([2, 0, 3]), reduction="none"),
    "weighted": CROSS_ENTROPY.call(X, np.array([2, -1, 3]), P[2], ignore_index=-1),
    "probabilities": CROSS_ENTROPY.call(X, P, reduction="none"),
    "smoothed": CROSS_ENTROPY.call(X, P, label_smoothing=0.25),
    "by target": CROSS_ENTROPY.call(
        X, P, reduction="none", transform=Transform("gradient", np.ones(3, np.float32), wrt="target")
    ),
}


def subjects(backend: str) -> list[tuple[Any, str, Call]]:
    """Subjects that compile quickly, with each of the calls of their loss."""
    found = registry.backend(backend)
    pytest.importorskip(found.module)
    registry.start(found)
    return [
        (subject, name, call)
        for signature in (LOG_SOFTMAX, CROSS_ENTROPY)
        for subject in found.subjects(signature, "cpu")
        for name, call in CALLS.items()
        if call.signature is signature and subject.name != "torch:compile"
    ]


def logs(x: np.ndarray, axis: int) -> np.ndarray:
    x = x.astype(np.float64)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def due(name: str, call: Call) -> np.ndarray:
    """What must come of the calls, in float64."""
    if name == "slope":
        assert call.transform is not None
        assert call.transform.upstream is not None
        g = call.transform.upstream.astype(np.float64)
        return g - np.exp(logs(X, 0)) * g.sum(0, keepdims=True)
    if call.signature is LOG_SOFTMAX:
        return logs(X, call["dim"])
    rows = -logs(X, 1)
    return {
        "indices": rows[range(3), [2, 0, 3]],
        "weighted": (rows[[0, 2], [2, 3]] * P[2][[2, 3]]).sum() / P[2][[2, 3]].sum(),
        "probabilities": (P * rows).sum(1),
        "smoothed": ((0.75 * P + 0.0625) * rows).sum(1).mean(),
        "by target": rows,
    }[name]


@pytest.mark.parametrize("backend", registry.BUILT_IN)
def test_subjects_of_both_losses_compute_what_they_take_and_scripts_say_the_same(backend: str, tmp_path: Path) -> None:
    texts: dict[str, str] = {}
    seen: dict[str, Any] = {}
    for subject, name, call in subjects(backend):
        outcome, _ = execute(subject, call)
        if isinstance(outcome, Unsupported):
            continue
        assert isinstance(outcome, Returned), (subject.name, name, outcome)
        assert np.allclose(outcome.value, due(name, call), rtol=1e-5, atol=1e-6), (subject.name, name)
        key = f"{call.signature.loss} {subject.name} {name}"
        texts[key], seen[key] = words(subject.name, backend, call), outcome.value.astype(np.float64).tolist()
    ended = run_all(texts, tmp_path)
    assert {code for code, _ in ended.values()} == {0}, [said for code, said in ended.values() if code]
    assert {name: json.loads(said) for name, (_, said) in ended.items()} == seen
    assert len(seen) > {"numpy": 6, "torch": 17}.get(backend, 21)


@pytest.mark.parametrize("backend", registry.BUILT_IN)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_probabilities_go_over_the_bridge_bit_for_bit(backend: str, dtype: str) -> None:
    kind = np.dtype(BFLOAT16) if dtype == "bfloat16" else np.dtype(dtype)
    special = np.array([[0.0, -0.0, np.nan], [1e-40, np.inf, 0.1]]).astype(kind)
    call = CROSS_ENTROPY.call(np.ones((2, 3), kind), special)
    for subject, *_ in subjects(backend):
        if subject.capabilities.refuses(call) is None:
            assert subject.echo(call)["target"].tobytes() == special.tobytes()


def test_what_a_function_is_not_for_is_not_asked_of_it() -> None:
    forms = (Form("tests.any_loss:power_loss", "own", domain=Domain(absent=("scale",)), names={"guess": "x"}),)
    assert form_of({"power_loss": forms}, "power_loss", "own", "a:b") is forms[0]
    assert form_of({"power_loss": forms}, "power_loss", "other", "a:b") == Form("a:b", "other")
    assert form_of({}, POWER_LOSS.loss, "own", "a:b").function == "a:b"


@pytest.mark.parametrize(
    ("backend", "module", "loss", "lost"),
    [
        ("numpy", "scipy", "log_softmax", {"numpy:scipy"}),
        ("jax", "optax", "cross_entropy", {"jax:optax", "jax:optax-safe", "jax:optax-integer"}),
        ("tensorflow", "keras", "cross_entropy", {"tensorflow:keras", "tensorflow:keras-sparse"}),
    ],
)
def test_what_is_not_installed_is_left_out_and_named(
    backend: str, module: str, loss: str, lost: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = registry.backend(backend)
    pytest.importorskip(found.module)
    pytest.importorskip(module)
    signatures = (LOG_SOFTMAX, CROSS_ENTROPY, NLL_LOSS)
    assert not any(map(found.lacking, signatures))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find(name))
    lacking = {signature.loss: found.lacking(signature) for signature in signatures}
    assert {name: set(of_loss) for name, of_loss in lacking.items() if of_loss} == {loss: lost}
    assert all(f"pip install {module}" in why for why in lacking[loss].values())
    for signature in signatures:
        left = {one.name for one in found.subjects(signature, "cpu")}
        assert left
        assert not left & set(lacking[signature.loss])


def test_what_is_left_out_of_one_loss_stays_for_another() -> None:
    """It is named with that loss; one that no loss has is named without."""
    missing = {"log_softmax": {"own": "no tool", "gone": "no wheel"}}
    backend = dataclasses.replace(registry.backend("numpy"), lacking=lambda signature: missing.get(signature.loss, {}))
    kept = SubjectInfo(
        loss="nll_loss", name="own", backend="numpy", version="1", device="cpu", binding="native", style="eager",
        dtypes=(), target_dtypes=(), gradual_underflow={},
    )  # fmt: skip
    found = Survey((backend,), (kept,), (), places=("nll_loss", "log_softmax"))
    assert found.missing_tools == ["own is left out of log_softmax: no tool", "gone is left out: no wheel"]
    assert found.owners == {"numpy": ("own", "gone")}
    assert found.chosen(["own"]) == {"nll_loss": ("own",)}


def test_options_by_position_reach_a_function_with_names_of_its_own() -> None:
    """As tf.function passes them."""
    from lossparity.adapters.binding import Binding

    def own(logits: Any, axis: int = 7, scale: Any = None) -> Any:
        return logits, axis

    bound = Binding(LOG_SOFTMAX, names={"input": "logits", "dim": "axis"}).bound(own)
    assert bound(1, 2) == bound(1, dim=2) == (1, 2)
    assert bound(1) == (1, 7)


@pytest.mark.parametrize("loss", ["nll_loss", "log_softmax", "cross_entropy"])
def test_a_domain_that_leaves_no_call_to_probe_with_is_named(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = NumpySubject(lambda *arrays, **options: arrays[0], "own", domain=Domain(ranks=(40,)))
    backend = dataclasses.replace(registry.backend("numpy"), subjects=lambda signature, device: [own])
    monkeypatch.setattr(registry, "backend", lambda name: backend)
    found, *probed = survey.describe("numpy", "cpu", [loss], lambda call: None, ())
    assert isinstance(found, list)
    ((_, info),) = found
    assert [note for note in info.notes if note.startswith(NOT_PROBED)] == [
        f"{NOT_PROBED} in {', '.join(info.dtypes)}, and taken to be kept: every dtype, 40-d input leaves no call to do "
        "it with"
    ]
    assert [one.keeps for one in probed if not isinstance(one, list)] == [True] * len(info.dtypes)
