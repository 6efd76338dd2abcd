"""The engine on functions that misbehave: what must be seen, and must not be lost."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import ml_dtypes
import numpy as np
import pytest
from lossparity.adapters.numpy.ports.nll_loss import nll_loss, nll_loss_gradient
from lossparity.adapters.numpy.subject import NumpySubject
from lossparity.conformance.items import explore
from lossparity.conformance.items.probe import probe
from lossparity.specs.call import FLOAT_DTYPES
from lossparity.specs.nll_loss.corpus import SIZES
from lossparity.specs.nll_loss.loss import LOSS
from lossparity.specs.stopwatch import PARTS, STOPWATCH, booked

from . import engine, laboratory


def _always_raises(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("never works")


class _DiesAfterAnError:
    def __init__(self) -> None:
        self.dead = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            self.dead = False
            raise RuntimeError("still shaken by the last error")
        try:
            return nll_loss(*args, **kwargs)
        except Exception:
            self.dead = True
            raise


def _spoils_its_target_on_error(input: Any, target: Any, **kwargs: Any) -> Any:
    try:
        return nll_loss(input, target, **kwargs)
    except IndexError:
        target.reshape(-1)[:1] = 0
        raise


def _exits(*args: Any, **kwargs: Any) -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("function", "family", "word"),
    [
        (_always_raises, "error", "raised"),
        (_always_raises, "value", "raised"),
        (_DiesAfterAnError(), "error", "ERR-9"),
        (_spoils_its_target_on_error, "error", "ERR-9"),
        (_exits, "shape", "SystemExit"),
    ],
    ids=["always raises", "always raises on values", "dies after an error", "spoils its target", "exits"],
)
def test_misbehaviour_is_seen(function: Callable[..., Any], family: str, word: str, tmp_path: Path) -> None:
    item, findings, message = engine.run(NumpySubject(function, "mine"), family, "float32", tmp_path)
    assert item.unexpected > 0
    assert item.problem == ""
    assert findings
    assert word in message


def _flushes(input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
    """As XLA does on CPUs: subnormal numbers are read and written as 0."""
    tiny = ml_dtypes.finfo(input.dtype).smallest_normal

    def flushed(array: Any) -> Any:
        return None if array is None else np.where(np.abs(array) < tiny, array * 0, array)

    return flushed(np.asarray(nll_loss(flushed(input), target, flushed(weight), **options)))


def _computes_float64_in_float32(input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
    if input.dtype != np.float64:
        return nll_loss(input, target, weight, **options)
    short = None if weight is None else weight.astype(np.float32)
    with np.errstate(all="ignore"):
        return np.asarray(nll_loss(input.astype(np.float32), target, short, **options)).astype(np.float64)


def _negates_beyond_a_threshold(input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
    """An epsilon of its own, far above subnormal numbers."""
    return nll_loss(np.where(np.abs(input) < 2.0**-10, input * 0, input), target, weight, **options)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_flushing_is_told_from_what_is_wrong(dtype: str, tmp_path: Path) -> None:
    """Only who keeps the smallest normal numbers, and loses the subnormal ones, flushes."""
    found = {
        function: probe(NumpySubject(function, "mine"), dtype, LOSS).arithmetic.flush
        for function in (nll_loss, _flushes, _computes_float64_in_float32, _negates_beyond_a_threshold)
    }
    assert [function for function, flush in found.items() if flush] == [_flushes]
    if dtype == "float64":
        for function, is_wrong in ((_flushes, False), (_computes_float64_in_float32, True)):
            item, _, _ = engine.run(NumpySubject(function, "mine"), "special", dtype, tmp_path)
            assert bool(item.unexpected) is is_wrong


def test_a_flaky_function_is_caught_and_nothing_is_lost(tmp_path: Path) -> None:
    """Wrong in one call of 997: Hypothesis sees another outcome when it tries the example again."""
    count = itertools.count(1)

    def flaky(*args: Any, **kwargs: Any) -> Any:
        result: Any = nll_loss(*args, **kwargs)
        return result if next(count) % 997 else result * 3 + 1

    request = dataclasses.replace(engine.REQUEST, explored=300)
    item, _, message = engine.run(NumpySubject(flaky, "flaky"), "value", "float32", tmp_path, request=request)
    assert item.unexpected >= 1
    assert item.planned == sum(item.statuses.values())
    assert message


def test_exploration_shrinks(tmp_path: Path) -> None:
    """A fault that needs four axes and four classes is found by exploration alone, and shown small."""

    def wrong(input: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
        result: Any = nll_loss(input, target, *args, **kwargs)
        odd = input.ndim >= 4 and input.shape[1] >= 4  # no shape of the corpus
        return result + np.float32(1) if odd and np.ndim(result) == 0 else result

    request = dataclasses.replace(engine.REQUEST, explored=200)
    item, findings, _ = engine.run(NumpySubject(wrong, "wrong"), "dtype", "float32", tmp_path, request=request)
    assert item.unexpected >= 1
    finding = [f for f in findings if not f.expected and f.origin == "exploration"][-1]
    shape = finding.call["input"]["shape"]
    assert (len(shape), shape[1]) == (4, 4)  # no axis and no class more than the fault needs


_SEEN = """
import hashlib, importlib, sys
for name in sys.argv[3:]:
    importlib.import_module(name)
from lossparity.adapters.numpy import nll_loss
from lossparity.adapters.numpy.subject import NumpySubject
from pathlib import Path
from tests import engine
import dataclasses
seen = hashlib.sha256()
def noting(input, target, **options):
    seen.update(repr((input.tobytes(), target.tobytes(), sorted(options.items(), key=str))).encode())
    return nll_loss(input, target, **options)
plan = dataclasses.replace(engine.REQUEST, seed=int(sys.argv[2]), explored=60)
engine.run(NumpySubject(noting, "noting"), "value", "float32", Path(sys.argv[1]), request=plan)
print(seen.hexdigest())
"""


def test_a_seed_means_the_same_calls_whatever_is_loaded(tmp_path: Path) -> None:
    """Hypothesis mixes constants of local modules into what it draws, as one that counts our own among them does."""
    (tmp_path / "strange.py").write_text("A, B, C, D = 3, 7, 1234567, 0.123\n" + "X = [5, 17, 33, 4001]\n")

    def seen(seed: int, *loaded: str) -> str:
        path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", _SEEN, str(tmp_path), str(seed), *loaded],
            capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        return done.stdout

    assert seen(1) == seen(1, "strange")
    assert seen(1) != seen(2)


def test_the_profile_of_the_night_explores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis takes one number of an example, which here are several calls."""
    monkeypatch.chdir(tmp_path)
    aims: list[float] = []
    monkeypatch.setattr("hypothesis.target", _noting(hypothesis.target, aims))
    item, _, message = engine.run(NumpySubject(nll_loss, "numpy"), "dtype", "float32", tmp_path, request=_NIGHT)
    assert (item.unexpected, item.problem, message) == (0, "", "")
    assert 0 < len(aims) <= 40  # one for each example, and some of those that are tried for a larger error
    assert max(aims) > 0


def test_what_a_night_found_is_tried_again_in_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each item keeps its own: another one, for which the find passes, would have it forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SIZES, "nightly", dataclasses.replace(SIZES["nightly"], bases=1))

    def wrong(input: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
        result: Any = nll_loss(input, target, *args, **kwargs)
        odd = input.ndim >= 4 and input.shape[1] >= 4  # no shape of the corpus
        return result + np.float32(1) if odd and np.ndim(result) == 0 else result

    request = dataclasses.replace(_NIGHT, explored=200)
    assert engine.run(NumpySubject(wrong, "wrong"), "dtype", "float32", tmp_path, request=request)[0].unexpected
    assert {folder.name for folder in (tmp_path / explore.FINDS).iterdir()} == {"dtype_wrong_nll_loss-float32_"}
    again = dataclasses.replace(_NIGHT, seed=2, explored=1)
    assert not engine.run(NumpySubject(nll_loss, "right"), "dtype", "float32", tmp_path, request=again)[0].unexpected
    assert engine.run(NumpySubject(wrong, "wrong"), "dtype", "float32", tmp_path, request=again)[0].unexpected


_NIGHT = dataclasses.replace(engine.REQUEST, profile="nightly", seed=1, explored=30)


def _noting(function: Callable[..., Any], noted: list[float]) -> Callable[..., Any]:
    def noting(observation: float, **options: Any) -> Any:
        noted.append(observation)
        return function(observation, **options)

    return noting


@pytest.mark.parametrize("family", ["shape", "value", "ignore", "weight", "special", "dtype", "accuracy", "error"])
def test_every_family_has_a_heartbeat(family: str, tmp_path: Path) -> None:
    item, _, message = engine.run(NumpySubject(nll_loss, "numpy"), family, "float32", tmp_path)
    assert (item.unexpected, item.problem, message) == (0, "", "")
    assert item.heartbeats >= 4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["gradient", "layout", "purity", "relation"])
def test_families_beyond_the_value_have_a_heartbeat(family: str, dtype: str, tmp_path: Path) -> None:
    """The port offers its gradient, too; it has no siblings, no second order, and no graph."""
    subject = NumpySubject(nll_loss, "numpy", gradient=nll_loss_gradient, without=laboratory.MAIN_ONLY)
    item, _, message = engine.run(subject, family, dtype, tmp_path)
    assert (item.unexpected, item.problem, message) == (0, "", "")
    assert item.heartbeats >= 4
    asked = item.planned - item.statuses.get("unsupported", 0)
    assert asked > item.planned / 2
    assert item.statuses["pass"] > 0.95 * asked


# Small slips, each visible in its corner only. The full zoo has an issue of its own; these guard what was missed once.
def _slip(change: Callable[..., Any]) -> Callable[..., Any]:
    def function(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
        return change(input, target, weight, ignore_index, reduction)

    return function


def _float64_sum(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    result = nll_loss(x, t, w, i, r)
    return np.float64(result) if r == "sum" else result


def _zero_over_zero(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    result = nll_loss(x, t, w, i, r)
    if r != "mean" or w is None:
        return result
    return np.where(np.isinf(result), np.array(np.nan, result.dtype), result)[()]


def _float_sentinel(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    if t.dtype == np.int64 and i > 2**53:
        t = np.where(t.astype(float) == float(i), i, t)
    return nll_loss(x, t, w, i, r)


def _unchecked_int32(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    if t.dtype == np.int32 and t.ndim:
        t = np.where(t == i, t, np.clip(t, 0, x.shape[1] - 1))
    return nll_loss(x, t, w, i, r)


def _flat_target(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    positions = x.shape[:1] + x.shape[2:]
    if x.ndim > 2 and t.shape != positions and t.size == np.prod(positions):
        t = t.reshape(positions)
    return nll_loss(x, t, w, i, r)


def _mean_over_all(x: Any, t: Any, w: Any, i: int, r: Any) -> Any:
    if r == "mean" and w is None and t.ndim == 3:
        return np.asarray(nll_loss(x, t, w, i, "sum") / x.dtype.type(t.size)).astype(x.dtype)
    return nll_loss(x, t, w, i, r)


@pytest.mark.parametrize(
    "change",
    [_float64_sum, _zero_over_zero, _float_sentinel, _unchecked_int32, _flat_target, _mean_over_all],
    ids=lambda change: change.__name__,
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_small_slips_are_seen(change: Callable[..., Any], tmp_path: Path) -> None:
    families = ("shape", "weight", "error", "ignore")
    assert engine.first_failure(_slip(change), tmp_path, families, ("float32",))


def test_the_time_of_an_item_is_split_into_its_parts(tmp_path: Path) -> None:
    """A slow function and a slow bridge each show where they belong."""

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(1e-3)
        return nll_loss(*args, **kwargs)

    class Bridge(NumpySubject):
        def read(self, result: Any) -> Any:
            time.sleep(2e-3)
            return super().read(result)

    item, _, _ = engine.run(Bridge(slow, "slow", gradient=nll_loss_gradient), "shape", "float32", tmp_path)
    calls = item.statuses["pass"]
    assert set(item.split) == set(PARTS)
    assert min(item.split.values()) > 0
    assert sum(item.split.values()) <= item.seconds
    assert item.split["framework"] == item.framework_seconds >= calls * 1e-3
    assert item.split["conversion"] >= calls * 2e-3
    assert item.split["judging"] < item.split["conversion"]


def test_a_part_inside_another_interrupts_it() -> None:
    @booked("oracle")
    def inner() -> None:
        time.sleep(0.02)

    @booked("judging")
    def outer() -> None:
        inner()
        time.sleep(0.01)
        raise ValueError("over")

    STOPWATCH.start()
    with pytest.raises(ValueError, match="over"):
        outer()
    split = STOPWATCH.read()
    assert split["oracle"] >= 0.02
    assert 0.01 <= split["judging"] < split["oracle"] + 0.01
    assert split["generation"] < 0.01
    assert split["noting"] == split["conversion"] == split["framework"] == 0
