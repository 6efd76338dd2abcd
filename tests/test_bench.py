"""The bench harness: what is timed, in fresh processes, and what becomes of contestants that misbehave."""

from __future__ import annotations

import functools
import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from lossparity.adapters import registry
from lossparity.adapters.base import WORK, loop
from lossparity.adapters.execution import execute
from lossparity.conformance import cli
from lossparity.conformance.bench import accelerator, measure, roofs, samples, sweep
from lossparity.conformance.bench import run as harness
from lossparity.conformance.bench.run import Options, Watch, run
from lossparity.reports import bench, ratios
from lossparity.specs.call import Call, Crashed, Returned, dtype_of
from lossparity.specs.errors import UsageError
from lossparity.specs.nll_loss.generate import case_of_call
from lossparity.specs.nll_loss.loss import LOSS
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.nll_loss.speed import CLASSES, DTYPES, SIZES, point, selected_offsets, traffic
from lossparity.specs.speed import LINE, SECTOR, Point

SMALL = (point(n=64, classes=8), point(n=16, classes=300, work="both"))
BAD = Path(__file__).parent / "bad_losses.py"


def a_call(**fields: Any) -> Call:
    """The call of a point of nll_loss."""
    return sweep.call_of(LOSS, point(**fields), 0)


def timed(out: Path, *names: str, **options: Any) -> bench.Bench:
    """A small run with one thread, without cold starts and memory."""
    wanted = {"points": SMALL, "threads": ("1",), "cold": False, "memory": False, "baseline": "numpy"} | options
    return run(Options(names=names, **wanted), out, Watch())


# --- the sweep -------------------------------------------------------------------------------------------


def test_the_most_telling_point_comes_first_and_none_twice() -> None:
    points = sweep.points(LOSS, 1 << 60)
    assert points[0] == point(n=65536, classes=256)
    assert len(set(points)) == len({one.name for one in points}) == len(points)
    assert {one.dtype for one in points} == set(DTYPES)
    assert {one.work for one in points} == set(WORK)
    for choice, values in {
        "reduction": ("none", "sum", "mean"), "weighted": (False, True), "ignored": (0.0, 0.1, 1.0),
        "order": ("random", "sorted", "constant"), "layout": ("c", "transposed"),
    }.items():  # fmt: skip
        assert {one.choices[choice] for one in points} == set(values), choice
    assert {one.sizes["N"] for one in points} == set(SIZES)
    assert {one.sizes["C"] for one in points} == set(CLASSES)
    assert {tuple(one.sizes.values())[2:] for one in points} == {(), (7, 7), (56, 56), (224, 224)}


def test_what_does_not_fit_into_memory_is_left_out() -> None:
    cap = 1 << 28
    points = sweep.points(LOSS, cap)
    assert 0 < len(points) < len(sweep.points(LOSS, 1 << 60))
    assert all(np.prod(list(one.sizes.values())) * dtype_of(one.dtype).itemsize <= cap / 6 for one in points)
    assert sweep.memory_cap() > 1 << 28


@pytest.mark.parametrize(
    "place", [one for one in sweep.points(LOSS, 1 << 23) if one.sizes["N"] <= 4096][::3], ids=lambda p: p.name
)
def test_a_point_is_a_legal_call_of_log_probabilities(place: Point) -> None:
    call = sweep.call_of(LOSS, place, 0)
    assert call["input"].shape == tuple(place.sizes.values())
    assert call.dtype == place.dtype
    assert np.allclose(np.exp(call["input"].astype(np.float64)).sum(1), 1, atol=0.05)
    share = np.mean(call["target"] == -100)
    assert share == pytest.approx(place.choices["ignored"], abs=0.2)
    if place.choices["order"] == "sorted":
        assert (np.diff(call["target"].reshape(-1)) >= 0).all()
    assert case_of_call(call, "bench", 3, "").clauses
    again = sweep.call_of(LOSS, place, 0)
    assert all(a.tobytes() == b.tobytes() for (_, a), (_, b) in zip(call.arrays(), again.arrays(), strict=True))


# --- loops and roofs -------------------------------------------------------------------------------------


CONTESTANTS = {
    "numpy": ("numpy", "numpy:one_hot", "numpy:python_loop", "numpy:take_along_axis", "numpy:boolean_mask"),
    "torch": ("torch", "torch:compile", "torch:module", "torch:one_hot", "torch:gather", "torch:cross_entropy"),
    "jax": ("jax", "jax:x32", "jax:jit", "jax:one_hot", "jax:take_along_axis", "jax:indexing", "jax:masked",
            "jax:optax"),
    "tensorflow": ("tensorflow", "tensorflow:function", "tensorflow:xla", "tensorflow:one_hot", "tensorflow:gather",
                   "tensorflow:masked", "tensorflow:sparse_softmax", "tensorflow:keras"),
}  # fmt: skip


@functools.cache
def subjects(name: str) -> dict[str, Any]:
    """Subjects and baselines of a backend by name; not when this module is imported, as frameworks are slow to."""
    backend = registry.backend(name)
    registry.start(backend)
    assert backend.baselines is not None
    baselines = (one.subject for one in backend.baselines(NLL_LOSS, "cpu"))
    return {one.name: one for one in (*backend.subjects(NLL_LOSS, "cpu"), *baselines)}


@pytest.mark.parametrize("backend", CONTESTANTS)
def test_these_are_all(backend: str) -> None:
    assert tuple(subjects(backend)) == CONTESTANTS[backend]


LOOPS = [
    (key, name, work)
    for key, names in CONTESTANTS.items()
    for name, work in itertools.product(names, WORK)
    if work == "forward" or not name.startswith("numpy:")  # NumPy's baselines have no gradient
]


@pytest.mark.parametrize(("backend", "name", "work"), LOOPS)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_loop_computes_what_a_call_does(backend: str, name: str, work: str, reduction: str) -> None:
    subject = subjects(backend)[name]
    call = a_call(n=12, classes=5, work=work, reduction=reduction)
    outcome, _ = execute(subject, call)
    assert isinstance(outcome, Returned)
    with loop(subject, call, work) as many:
        result = many(3)
        gradient = result[-1] if work == "both" else result
        assert np.allclose(subject.read(gradient).astype(float), outcome.value.astype(float), rtol=1e-5)
        if work == "both":
            value, _ = execute(subject, call.replace(transform=None))
            assert isinstance(value, Returned)
            assert np.allclose(subject.read(result[0]).astype(float), value.value.astype(float), rtol=1e-5)


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_what_is_masked_is_ignored_as_a_subject_ignores_it(name: str, reduction: str) -> None:
    call = a_call(n=40, classes=5, ignored=0.5, reduction=reduction, dtype="float64")
    found, expected = (execute(subjects(name)[one], call)[0] for one in (f"{name}:masked", name))
    assert isinstance(found, Returned)
    assert isinstance(expected, Returned)
    # At most 39 additions of numbers of one sign and a division, each off by u: two such results differ by 2 * 40 u.
    assert np.allclose(found.value, expected.value, rtol=40 * np.finfo(np.float64).eps, atol=0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", ["c", "transposed"])
@pytest.mark.parametrize("seconds", [(0, 1), (1, 0)])
def test_roofs_read_what_the_call_reads(
    threads: int, layout: str, seconds: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one thread; with two where one seems faster, and where both do."""
    pretended = itertools.cycle(seconds)
    monkeypatch.setattr(roofs, "_seconds", lambda step: next(pretended))
    call = a_call(n=100, classes=7, ignored=0.1, layout=layout)
    source, places = roofs._flat(call, selected_offsets(call))
    kept = np.flatnonzero(call["target"] != -100)
    wanted = call["input"][kept, call["target"][kept]]
    assert source[places].view(wanted.dtype).tolist() == wanted.tolist()
    assert places.size == selected_offsets(call).size == kept.size
    for work in WORK:
        with roofs.references(call, selected_offsets(call), traffic(call, work, LINE), work, threads) as steps:
            for step in steps.values():
                step()


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_what_an_accelerator_would_be_asked_for_works_on_a_cpu(name: str) -> None:
    """Not torch's events, which need CUDA."""
    subject = subjects(name)[name]
    call = sweep.call_of(LOSS, SMALL[0], 0)
    for stream in accelerator.roofs([subject], traffic(call, "both", SECTOR), True).values():
        stream(3)
    with loop(subject, call, "forward") as many:
        timed_one = Without(subject, "event_seconds") if name == "torch" else subject
        found = accelerator.measure({name: (timed_one, many)}, {name: 2}, 3, np.random.default_rng(0), "cuda")
    assert found["device_seconds"] == {}
    assert len(found["flushed"][name]) == 3
    assert accelerator.describe("cpu") == {}


class Without:
    """A subject less one of its methods."""

    def __init__(self, inner: Any, name: str) -> None:
        self._inner, self._name = inner, name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._inner, name)


# --- runs ------------------------------------------------------------------------------------------------


def test_every_contestant_meets_the_others_in_every_round(tmp_path: Path) -> None:
    found = timed(tmp_path, "numpy")
    assert found.footer is not None
    assert found.footer.complete
    assert {(one.process, one.point) for one in found.measured} == set(itertools.product((0, 1), SMALL))
    first = found.measured[0]
    assert set(first.seconds) == {"numpy", "numpy:one_hot", "numpy:python_loop", "numpy:take_along_axis",
                                  "numpy:boolean_mask", *bench.REFERENCES}  # fmt: skip
    (rounds,) = {len(times) for times in first.seconds.values()}
    assert rounds >= found.header.rounds == 10
    assert all(first.loops[name] * np.median(times) >= 1e-4 for name, times in first.seconds.items())
    assert first.baseline == "numpy"
    assert {one.kind for one in found.excluded} == {"unsupported"}  # baselines have no gradient
    assert found.header.environment["OMP_NUM_THREADS"] == "1"


def test_what_is_wrong_raises_dies_or_hangs_is_listed_and_the_rest_is_timed(tmp_path: Path) -> None:
    names = ("returns_floats", "raises", "segfaults", "sleeps", "prints")
    found = timed(tmp_path, "numpy", *(f"numpy@{BAD}:{name}" for name in names), timeout=15.0, points=SMALL[:1])
    reasons = {one.contestant.partition(".")[2]: one.kind for one in found.excluded}
    assert reasons == {"returns_floats": "wrong", "raises": "raised", "segfaults": "crash", "sleeps": "timeout"}
    assert "SIGSEGV" in next(one.reason for one in found.excluded if one.kind == "crash")
    (board,) = ratios.boards(found)
    assert board.processes == 2
    assert {row.contestant for row in board.rows} >= {"numpy", "numpy:bad_losses.prints", "numpy:take_along_axis"}


def test_a_function_alone_is_timed_beside_its_framework(tmp_path: Path) -> None:
    found = timed(tmp_path, f"numpy@{BAD}:prints", points=SMALL[:1])
    names = {one.name for one in found.header.contestants}
    assert {"numpy", "numpy:take_along_axis", "numpy:bad_losses.prints"} <= names


def test_a_subject_that_takes_twice_as_long_is_slower(tmp_path: Path) -> None:
    found = timed(tmp_path, "numpy", slowed=(1.0,), points=SMALL[:1])
    (board,) = ratios.boards(found)
    row = board.row("numpy slowed by 100.0%")
    assert row is not None
    assert row.ratio.estimate == pytest.approx(2, rel=0.2)
    assert row.claim in ("slower", "noisy")


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    timed(tmp_path, "numpy")
    file = tmp_path / bench.FILE
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-2]))  # the footer and the last point
    kept = len(bench.read(file).measured)
    whole = timed(tmp_path, "numpy", resume=True)
    assert len(whole.measured) == kept + 1 == 4
    assert whole.footer is not None
    assert file.read_bytes().startswith(b"".join(lines[:-2]))
    with pytest.raises(UsageError, match="leave --resume out"):
        timed(tmp_path, "numpy", resume=True, seed=1)


def test_a_run_of_an_earlier_format_does_not_go_on(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parent / "bench_format_1.jsonl", tmp_path / bench.FILE)
    with pytest.raises(UsageError, match="leave --resume out"):
        timed(tmp_path, "numpy", resume=True)


def test_cold_starts_alone_may_be_left_of_a_run(tmp_path: Path) -> None:
    timed(tmp_path, "numpy", points=SMALL[:1])
    whole = timed(tmp_path, "numpy", points=SMALL[:1], cold=True, resume=True)
    assert len(whole.cold) == 1
    assert len(whole.measured) == 2
    assert whole.footer is not None


def test_subjects_that_compile_for_seconds_are_left_out_of_the_same_points_when_a_run_goes_on() -> None:
    runner: Any = SimpleNamespace(subject=SimpleNamespace(capabilities=SimpleNamespace(tier=1)), lacks=None)
    job: Any = SimpleNamespace(telling=SMALL[:1], loss="nll_loss")
    assert measure.declined(runner, SMALL[0], job) == ""
    assert "1 most telling points" in measure.declined(runner, SMALL[1], job)


def test_before_each_sample_comes_a_call_that_is_not_timed() -> None:
    asked: list[int] = []
    found = samples.rounds({"one": asked.append}, {"one": 3}, 2, 0.0, np.random.default_rng(0))
    assert asked == [1, 3, 1, 3]
    assert len(found["one"]) == 2


def test_what_was_being_written_when_a_run_was_cut_off_is_written_again(tmp_path: Path) -> None:
    timed(tmp_path, "numpy")
    file = tmp_path / bench.FILE
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-2]) + lines[-2][:50])
    assert len(timed(tmp_path, "numpy", resume=True).measured) == 4


def test_a_budget_too_small_for_one_point_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs? about \d+ s") as error:
        timed(tmp_path, "numpy", budget=1.0)
    assert error.value.exit_code == 4


def test_cold_starts_are_measured_apart(tmp_path: Path) -> None:
    found = timed(tmp_path, "numpy", cold=True, points=SMALL[:1])
    (cold,) = found.cold
    assert cold.backend == "numpy"
    assert cold.import_seconds > 0.01
    assert cold.first["numpy"] > 0
    assert cold.second.keys() == cold.first.keys()


def test_a_crash_in_a_cold_start_costs_one_contestant_of_its_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies of `numpy:one_hot`; the next one leaves it out and tells of the others."""
    usual = harness._Run._messages
    left_out: list[set[str]] = []

    def messages(self: Any, job: Any) -> Any:
        if job.threads != "cold start":
            yield from usual(self, job)
            return
        left_out.append({contestant for _, contestant in job.excluded})
        if len(left_out) == 1:
            point = "forward N=4096 C=256 float32 mean"
            yield harness._Ended(point, "numpy:one_hot", "its first call", Crashed("killed by SIGSEGV"))
        else:
            yield from usual(self, job)

    monkeypatch.setattr(harness._Run, "_messages", messages)
    found = timed(tmp_path, "numpy", cold=True, points=SMALL[:1])
    assert left_out == [set(), {"numpy:one_hot"}]
    (cold,) = found.cold
    assert "numpy:one_hot" not in cold.first
    assert {"numpy", "numpy:take_along_axis"} <= cold.first.keys()
    assert [(one.threads, one.contestant, one.kind) for one in found.excluded if one.kind == "crash"] == [
        ("cold start", "numpy:one_hot", "crash")
    ]


# --- the command line ------------------------------------------------------------------------------------


def invoke(*words: str) -> Any:
    return CliRunner().invoke(cli.main, list(words))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-b", "nunpy"), "numpy"),
        (("-b", "numpy:onehot"), "numpy:one_hot"),
        (("--device", "gpu"), "cuda"),
        (("--budget", "0"), "--budget"),
        (("--threads", "3"), "--threads"),
    ],
)
def test_what_does_not_exist_is_a_usage_error(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    result = invoke("bench", *words, "--out", str(tmp_path))
    assert result.exit_code == 4
    assert told in result.output
