"""What a person reads of a failure: how wrong it is, in a small call, with a hint that is right or not there."""

from __future__ import annotations

import importlib.util
import math
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from lossparity.conformance.diagnosis.follow import hinted
from lossparity.conformance.diagnosis.likeness import likeness
from lossparity.conformance.findings.locate import of_vector
from lossparity.conformance.findings.replay import Replayed, Session
from lossparity.conformance.findings.smaller import smaller
from lossparity.conformance.items.spec import Request
from lossparity.conformance.judging.apart import Apart
from lossparity.specs.vectors import vectors

ROOT = Path(__file__).parents[1]
LINES, NUMBERS = 12, 8  # that a message has at most; numbers in arrays


# --- how wrong a number is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observed", "exact", "words"),
    [
        (0.0529, Fraction(794, 10000), "wrong by 33 %: 0.0529, exact 0.0794"),
        (2.0, Fraction(1), "wrong by 100 %: 2, exact 1"),
        (0.0, Fraction(1, 4), "wrong by 100 %: 0, exact 0.25"),
        (0.9801, Fraction(1), "wrong by 2 %: 0.9801, exact 1"),
        (1.00001, Fraction(1), "right to 4 digits only: 1.00001, exact 1"),
        (-1.5, Fraction(3, 2), "of the wrong sign: -1.5, exact 1.5"),
        (-3.0, Fraction(3, 2), "of the wrong sign and size: -3, exact 1.5"),
        (120.0, Fraction(10), "too large by a factor of 12: 120, exact 10"),
        (1e30, Fraction(1, 10**300), "too large by a factor of more than 1e300: 1e+30, exact 1e-300"),
        (1.0, Fraction(0), "1 where 0 is due"),
        (math.nan, Fraction(1), "nan where 1 is due"),
        (1.0, math.inf, "1 where inf is due"),
    ],
)
def test_how_wrong_a_number_is(observed: float, exact: Fraction | float, words: str) -> None:
    assert Apart(observed, exact, "float64").words == words


def test_two_numbers_that_differ_never_read_alike() -> None:
    said = Apart(math.nextafter(1.0, 2.0), Fraction(1), "float64").words
    assert said == "right to 15 digits only: 1.0000000000000002, exact 1"


# --- wrong kernels -----------------------------------------------------------------------------------------

FLOAT32 = ("--dtypes", "float32")
VALUE = (*FLOAT32, "--family", "value")
BACKWARD = (*FLOAT32, "--family", "gradient", "--family", "layout") + tuple(
    word for name in ("jvp", "second order", "vmap", "weight gradient") for word in ("--without", name)
)
KERNELS = {
    "wrong_kernels:mean_over_all": (VALUE, ["kept positions / all positions"]),
    "wrong_kernels:mean_by_count": (
        VALUE,
        ["the mean divides by the number of kept positions instead of their weight"],
    ),
    "wrong_kernels:ignored_times_zero": ((*FLOAT32, "--family", "ignore"), ["ignored position adds nothing", "-100"]),
    "bad_gradients:upstream_ignored": (BACKWARD, ["gradient by input", "1 / upstream there"]),
    "bad_gradients:normaliser_missing": (BACKWARD, ["gradient by input", " = {normaliser}\n"]),
    "bad_gradients:nan_in_ignored_row": (BACKWARD, ["gradient by input is nan", "at ignored positions"]),
}


# Of the call that each framework comes to first, with weights or without.
NORMALISER = {"torch": "the sum of the kept targets' weights", "jax": "kept positions"}


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_message_alone_names_the_fault(framework: str, kernel: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(framework) is None:  # found, not imported: torch has to come first in a process
        pytest.skip(f"{framework} is not installed")
    package, _, name = kernel.partition(":")
    options, words = KERNELS[kernel]
    done = checked(f"tests.{package}.in_{framework}:{name}", framework, tmp_path, *options)
    assert done.returncode == 1, done.stdout + done.stderr
    (message,) = messages(done.stdout)
    for said in words:
        assert said.format(normaliser=NORMALISER[framework]) in message, message
    lines = message.splitlines()
    assert len(lines) <= LINES, message
    arrays = [line for line in lines if re.match(r"  (input|target|weight|upstream) ", line)]
    assert sum(len(re.findall(r"-?\d+(?:\.\d*)?(?:e[-+]\d+)?|inf|nan", line)) for line in arrays) <= NUMBERS, message


def checked(function: str, framework: str, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lossparity.conformance.cli", "check", function, "--framework", framework]
    return subprocess.run(
        [*command, "-x", "-n", "1", "--shrink-seconds", "60", *options, "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def messages(printed: str) -> list[str]:
    """What is said of each kind of unexpected results."""
    return [f"{one.rstrip()}\n" for one in re.findall(r"^unexpected: (.*\n(?:  .*\n)+)", printed, re.MULTILINE)]


# --- check and replay --------------------------------------------------------------------------------------


def test_check_and_replay_say_the_same(tmp_path: Path) -> None:
    """Of the call that was found, made smaller, and of the smaller one that the records hold."""
    (said,) = messages(checked("examples/my_losses.py:mean_over_all", "numpy", tmp_path).stdout)
    digest = re.search(r"#(\w{16})", said)
    assert digest
    command = [sys.executable, "-m", "lossparity.conformance.cli", "replay", f"{tmp_path}#{digest[1]}"]
    again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout
    (replayed,) = messages(again)
    assert digest[1] in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert said.splitlines()[0] == replayed.splitlines()[0]
    first = [next(line for line in text.splitlines() if "MUST:" in line) for text in (said, replayed)]
    assert first[0].split()[0] == first[1].split()[0]


def test_nothing_is_made_smaller_if_asked_not_to(tmp_path: Path) -> None:
    (said,) = messages(checked("examples/my_losses.py:mean_over_all", "numpy", tmp_path, "--no-shrink").stdout)
    assert "made smaller" not in said
    assert "hint" not in said


# --- hints -------------------------------------------------------------------------------------------------

MUTANTS = (
    "count_includes_ignored", "mean_by_count", "minus_100_always_ignored", "unbatched_weight_left_out",
    "none_squeezed",
)  # fmt: skip


def failing(session: Session, subject: str, ids: list[str]) -> Replayed:
    """The first of these vectors that the subject fails."""
    runs = (session.run(of_vector(vectors()[id]), subject) for id in ids)
    return next(run for run in runs if run.failed)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_taken_for_itself(name: str) -> None:
    """Before its call is made smaller and after."""
    ids = [one.id for one in vectors().values() if name in one.kills]
    with Session(f"numpy@lossparity.conformance.mutants.nll_loss:{name}", "nll_loss", Request()) as session:
        (subject,) = session.hello.subjects
        found = failing(session, subject, ids)
        for one in (found, smaller(session, found)):
            mutant = likeness(session, one)
            assert mutant is not None
            assert mutant.name == name
            assert hinted(session, found, one).finding.flags == mutant.flags


@pytest.mark.parametrize("name", ["mean_over_all", "nan_at_ignored"])
def test_a_fault_that_no_mutant_has_is_taken_for_none(name: str) -> None:
    ids = [
        id for id, one in vectors().items() if "transform" not in one.call and one.call["input"]["dtype"] == "float32"
    ]
    with Session(f"numpy@examples/my_losses.py:{name}", "nll_loss", Request()) as session:
        (subject,) = session.hello.subjects
        found = failing(session, subject, ids)
        assert likeness(session, found) is None
        assert likeness(session, smaller(session, found)) is None
