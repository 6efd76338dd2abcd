"""`lossparity.conformance.testing`: which tests it makes, and what each of them comes to."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossparity.adapters.numpy import nll_loss
from lossparity.conformance.items import heartbeat, runner
from lossparity.conformance.judging.judge import Traits
from lossparity.conformance.testing import conformance_tests
from lossparity.specs.errors import BridgeError, LedgerError, UsageError

from . import bad_losses
from .kit import failure, ids, my_losses, on_numpy, run

# --- what is collected -----------------------------------------------------------------------------------


def test_there_is_a_test_for_each_family_and_dtype_vectors_first() -> None:
    found = ids(conformance_tests(nll_loss, framework="numpy"))
    assert sorted(found[:4]) == [f"vectors-{name}" for name in ("bfloat16", "float16", "float32", "float64")]
    assert found[4] == "shape-float32"
    assert len(found) == len(set(found)) == 13 * 4
    assert "relation-bfloat16" in found
    assert ids(on_numpy(nll_loss, families=("ignore", "vectors"))) == ["vectors-float32", "ignore-float32"]
    assert ids(conformance_tests(nll_loss, framework="numpy", families="shape", dtypes=["float64", "float16"])) == [
        "shape-float16",
        "shape-float64",
    ]


def takes_two(input: Any, target: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (nll_loss, {"framework": "nunpy"}, "no backend 'nunpy'; did you mean numpy"),
        (nll_loss, {"framework": "lossparity.adapters.template.adapter:BACKEND"}, r"Backend\.wrap"),
        (nll_loss, {"dtypes": "float31"}, "^dtypes: there is no 'float31'; did you mean float32"),
        (nll_loss, {"targets": ["int65"]}, "^targets: there is no 'int65'; did you mean int64"),
        (nll_loss, {"without": ["gradients"]}, "^without: there is no 'gradients'; did you mean gradient"),
        (nll_loss, {"families": ["ignored"]}, "no family 'ignored'; did you mean ignore"),
        (nll_loss, {"profile": "quik"}, "did you mean quick"),
        (nll_loss, {"profile": "large"}, "lossparity check"),
        ("my_losses:nll", {}, "'my_losses:nll' is of type str; pass the function itself"),
        (None, {}, "None is of type NoneType"),
        (takes_two, {}, r"test_testing_kit:takes_two takes \(input, target\), but is called with .*weight=None"),
    ],
)
def test_wrong_arguments_are_told_when_the_tests_are_made(
    function: Any, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        conformance_tests(function, **{"framework": "numpy", **options})


def test_a_ledger_is_read_when_the_tests_are_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"known\.toml: No such file"):
        on_numpy(nll_loss, ledger=tmp_path / "known.toml")


# --- what a test comes to --------------------------------------------------------------------------------


def test_a_correct_function_passes() -> None:
    test = on_numpy(my_losses.correct, families=("vectors", "shape", "error"))
    for id in ids(test):
        run(test, id)


def test_partial_functions_and_objects_are_functions_too() -> None:
    class Loss:
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            return nll_loss(*arguments, **options)

    for function in (functools.partial(nll_loss), Loss()):
        run(on_numpy(function, families="vectors"), "vectors-float32")


def test_a_failure_can_be_mended_from_its_message_alone() -> None:
    message = failure(on_numpy(my_losses.mean_over_all, families="value"), "value-float32")
    first, second, *_ = message.splitlines()
    assert first.startswith("IGN-2: A number where NaN, an infinity or 0 is due. ")  # a summary shows this line
    assert " calls unexpected" in first
    assert "profile quick, seed 0" in second
    for words in (
        "The loss is wrong by ",
        " (a number outside the bound of the format's own precision",
        "  subject   numpy:my_losses.mean_over_all/nll_loss, float32\n",
        "  VALUE-3   MUST: mean gives -S/W, W being the sum of w[t] over kept positions",
        "  call      input=float32",
        "  input     [",
        "  target    ",
        "  observed  float32 ",
        "rounds to",
        " ulp, ",
        "  origin    ",
    ):
        assert words in message


def test_a_long_failure_shows_three_kinds_and_says_that_there_are_more() -> None:
    def wrong(*arguments: Any, **options: Any) -> Any:
        result: Any = nll_loss(*arguments, **options)
        return result + np.float32(1) if np.ndim(result) else np.full_like(result, np.nan)

    message = failure(on_numpy(wrong, families="value"), "value-float32")
    assert message.count("\n  observed  ") == 3
    assert "more kind" in message.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("exits", "SystemExit: done for today"),
        ("raises", "RuntimeError: not written yet"),
        ("returns_floats", "float, which is no numpy.ndarray"),
        ("spoils_its_target", "a result, and target modified in place"),
    ],
)
def test_misbehaviour_is_a_clear_verdict(name: str, words: str) -> None:
    assert words in failure(on_numpy(getattr(bad_losses, name), families="shape"), "shape-float32")


def test_what_is_not_asked_for_is_skipped_with_its_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match="gradient: not asked for: --without 'gradient'"):
        run(on_numpy(nll_loss, families="gradient", without="gradient"), "gradient-float32")
    with pytest.raises(pytest.skip.Exception, match="gradient: a NumPy function has none"):
        run(on_numpy(nll_loss, families="gradient"), "gradient-float32")


def test_known_divergences_are_expected_under_the_name_of_the_module(tmp_path: Path) -> None:
    ledger = tmp_path / "known.toml"
    ledger.write_text(
        "[[divergence]]\n"
        'id = "mine"\ntitle = "divides by all positions"\nmode = "sometimes"\nfallback = "nothing"\n'
        'cause = "by_design"\nexplanation = "so be it"\nreproducer = ""\nvector = "torch-half-overflow"\n'
        'subjects = ["numpy:my_losses.mean_over_all"]\nclauses = ["*"]\nselector = { reduction = "mean" }\n'
        'signature = ["value", "inaccurate", "number", "nan", "inf", "overflow", "scaling"]\n'
    )
    run(on_numpy(my_losses.mean_over_all, families="weight", ledger=ledger), "weight-float32")
    assert "VALUE-3" in failure(on_numpy(my_losses.mean_over_all, families="weight"), "weight-float32")


def test_should_clauses_count_when_strict() -> None:
    def promotes(input: Any, target: Any, weight: Any = None, **options: Any) -> Any:
        weight = weight.astype(input.dtype) if weight is not None and weight.dtype.kind == "f" else weight
        return nll_loss(input, target, weight, **options)

    run(on_numpy(promotes, families="error"), "error-float32")
    assert failure(on_numpy(promotes, families="error", strict=True), "error-float32").startswith("DTYPE-4: ")


# --- a suite that cannot fail must not pass ----------------------------------------------------------------


def test_a_judge_that_lets_wrong_outcomes_pass_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "survivors", lambda *_: ["nan"])
    message = failure(on_numpy(nll_loss, families="shape"), "shape-float32")
    assert message.startswith("engine error: ")
    assert "wrong outcomes (nan) pass" in message


def test_an_item_without_heartbeat_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "suits", lambda *_: "")
    assert "no heartbeat" in failure(on_numpy(nll_loss, families="shape"), "shape-float32")


def test_a_bridge_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def collapses(*_: Any) -> Any:
        raise BridgeError("a pile gave way")

    test = on_numpy(nll_loss, families="shape")
    monkeypatch.setattr("lossparity.conformance.testing.probe", lambda *_: Traits())
    monkeypatch.setattr(runner, "execute", collapses)
    message = failure(test, "shape-float32")
    assert "our own bridge failed" in message
    assert "a pile gave way" in message


def test_flushed_subnormals_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "keeps_subnormals", lambda: False)
    assert "EngineError" in failure(on_numpy(nll_loss, families="shape"), "shape-float32")
