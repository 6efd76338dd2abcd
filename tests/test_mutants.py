"""Tests of the tests: every mutant is seen by the clauses named for it, and no correct variant is accused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import sample_run
from lossparity.conformance import lint
from lossparity.conformance.items.spec import ItemSpec, Request
from lossparity.conformance.mutants import kills, zoo
from lossparity.conformance.running.progress import Progress
from lossparity.reports import html, sources
from lossparity.reports import kills as stored
from lossparity.specs import losses, vectors
from lossparity.specs.errors import RecordsError, SpecError, UsageError

LOSS = "nll_loss"
QUICK = Request(heartbeat=False)
VARIANTS = zoo.variants(LOSS)
EVERY = [variant for loss in zoo.with_variants() for variant in zoo.variants(loss).values()]
# (mutants, correct ones) that a loss has at least.
SIZES = {"nll_loss": (120, 12), "log_softmax": (100, 12), "cross_entropy": (120, 12)}
# What is run of other losses than nll_loss, of which all are: `lossparity mutants` runs the rest.
FEW = {
    "log_softmax": (
        *("offset_added_back_first", "first_65535_classes", "nan_dropped", "half_sum_in_half", "axis_clamped_below"),
        *("single_class_zeroed_in_place", "scratch_shared_by_threads", "compiled_form_disagrees", "online"),
        *("torch_gradient_of_first_32768_classes", "torch_masked_class_poisons", "torch_first_gradient_kept"),
        *("torch_upstream_in_memory_order", "torch_gradient_by_hand"),
        *("jax_hessian_is_zero", "jax_rule_transposed", "jax_without_a_rule"),
    ),
    "cross_entropy": (
        *("offset_added_back_first", "smoothing_over_other_classes", "mean_of_probabilities_by_weights"),
        *("half_logarithms_stored", "smoothing_of_nan_accepted", "probabilities_smoothed_in_place", "rescaled_blocks"),
        *("torch_ignored_rows_smoothed", "torch_jvp_not_smoothed", "torch_training_not_smoothed", "torch_scattered"),
        *("jax_by_probabilities_not_connected", "jax_softmax_in_half", "jax_terms_divided_first"),
    ),
}


def changed(row: Any, change: dict[str, Any]) -> Any:
    return msgspec.structs.replace(row, **change)


def run_here(loss: str, framework: str) -> list[zoo.Variant]:
    """The variants of a framework that these tests run."""
    own = [variant for variant in zoo.variants(loss).values() if variant.framework == framework]
    return [variant for variant in own if variant.name in FEW.get(loss, (variant.name,))]


@pytest.mark.parametrize("loss", losses.BUILT_IN)
def test_the_zoo_is_large_enough(loss: str) -> None:
    mutants, correct = SIZES[loss]
    assert len(zoo.mutants(loss)) >= mutants
    assert len(zoo.correct(loss)) >= correct


def test_what_is_run_of_a_loss_exists() -> None:
    for loss, names in FEW.items():
        assert set(names) <= set(zoo.variants(loss))
        assert all(any(not variant.correct for variant in run_here(loss, name)) for name in zoo.FRAMEWORKS)
        assert all(any(variant.correct for variant in run_here(loss, name)) for name in zoo.FRAMEWORKS)


@pytest.mark.parametrize("loss", losses.BUILT_IN)
def test_every_clause_that_can_fail_has_a_mutant(loss: str) -> None:
    named = {clause for mutant in zoo.mutants(loss) for clause in mutant.clauses}
    assert {clause.id for clause in losses.find(loss).rules.clauses.values() if clause.level != "RECORD"} <= named


@pytest.mark.parametrize("loss", losses.BUILT_IN)
def test_every_bug_class_has_a_mutant(loss: str) -> None:
    assert {flag for mutant in zoo.mutants(loss) for flag in mutant.flags} == set(losses.find(loss).rules.flags)


@pytest.mark.parametrize("variant", EVERY, ids=lambda variant: f"{variant.loss}-{variant.name}")
def test_a_variant_is_a_small_edit(variant: zoo.Variant) -> None:
    assert variant.correct or zoo.source(variant) != zoo.source(zoo.base(variant))
    added = sum(new.count("\n") - old.count("\n") for old, new in variant.edits)
    assert added <= 10


def test_a_variant_is_a_function_of_the_package() -> None:
    from lossparity.conformance.mutants import nll_loss

    assert nll_loss.mean_by_count is zoo.function(VARIANTS["mean_by_count"])
    with pytest.raises(AttributeError, match="no mutant"):
        _ = nll_loss.no_such_thing


def test_tracebacks_show_the_edited_lines() -> None:
    with pytest.raises(ValueError, match="no reduction") as caught:
        zoo.function(VARIANTS["mean_by_count"])(1, 2, None, -100, "middle")
    assert 'raise ValueError(f"no reduction {reduction!r}")' in str(caught.traceback[-1].source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clauses": ("VALUE-99",)}, "no clause 'VALUE-99'"),
        ({"flags": ("Typo",)}, "no flag 'Typo'"),
        ({"edits": ()}, "no edit"),
        ({"departs": ("ACC-4",)}, "no departures"),
    ],
)
def test_a_wrong_row_is_refused(change: dict[str, tuple[str, ...]], message: str) -> None:
    assert message in zoo._problem(changed(VARIANTS["mean_by_count"], change))


def test_a_correct_variant_departs_from_no_must() -> None:
    assert "MUST" in zoo._problem(changed(VARIANTS["masks"], {"departs": ("ACC-1",)}))


def test_an_edit_must_fit_once() -> None:
    with pytest.raises(SpecError, match="stands 0 times"):
        zoo.source(changed(VARIANTS["masks"], {"edits": (("no such line", ""),)}))


# --- the clauses named for a mutant see it ---------------------------------------------------------------


def unseen(loss: str, framework: str) -> dict[str, set[str]]:
    """Clauses that each mutant still needs after all cases of profile quick; VALUE-9 needs gigabytes."""
    wrong = [variant for variant in run_here(loss, framework) if not variant.correct]
    wanted = {variant.name: set(variant.clauses) - {"VALUE-9"} for variant in wrong}
    for spec in kills.items(loss, framework):
        left = [variant for variant in wrong if wanted[variant.name]]
        for bout in kills.bouts(left, spec, QUICK, kills.NAMED) if left else ():
            wanted[bout.variant] -= bout.clauses
    return {name: needed for name, needed in wanted.items() if needed}


@pytest.mark.parametrize("framework", zoo.FRAMEWORKS)
@pytest.mark.parametrize("loss", losses.BUILT_IN)
def test_the_clauses_named_for_a_mutant_see_it(loss: str, framework: str) -> None:
    pytest.importorskip(framework)
    assert not unseen(loss, framework)


@pytest.mark.parametrize("framework", zoo.FRAMEWORKS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("loss", losses.BUILT_IN)
def test_no_correct_variant_is_accused(loss: str, dtype: str, framework: str) -> None:
    pytest.importorskip(framework)
    correct = [variant for variant in run_here(loss, framework) if variant.correct]
    specs = [spec for spec in kills.items(loss, framework) if spec.dtype == dtype]
    found = [bout for spec in specs for bout in kills.bouts(correct, spec, QUICK, kills.ALL)]
    assert not [(bout.variant, bout.because) for bout in found if bout.first]
    assert all(bout.calls for bout in found if bout.family == specs[1].family)


def test_a_running_sum_that_owns_up_to_it_departs_from_a_should_only() -> None:
    """What a correct variant departs from is seen, and is no accusation; without the departure it is."""
    variant = VARIANTS["one_after_another"]
    spec = ItemSpec("numpy", "accuracy", "float32")
    (bout,) = kills.bouts([variant], spec, QUICK, kills.ALL)
    assert "ACC-4" in bout.clauses
    assert not bout.first


# --- the whole, and its page -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def few() -> stored.Zoo:
    chosen = kills.choose([LOSS], ["mean_by_count", "count_with_weights_and_ignored", "masks"])
    return kills.run(chosen, "quick", 1, kills.SPARING, 2, Progress(), "lossparity mutants")


def test_a_run_of_few(few: stored.Zoo) -> None:
    assert few.is_sound
    mutant = few.mutants[0]
    assert "value" in mutant.families
    assert "VALUE-3" in mutant.clauses
    assert mutant.because
    assert mutant.calls >= min(mutant.families.values())
    assert few.correct[0].calls > 30_000
    assert few.typical()[1] > 0


def test_what_users_would_do_instead_is_compared(few: stored.Zoo) -> None:
    present = [rival for rival in few.rivals if not rival.absent]
    assert {rival.name for rival in present} >= {"assert_allclose", "ONNX node cases"}
    by_count, in_the_corner = few.mutants
    assert all(by_count.caught_by.values())  # an ordinary fault
    assert not any(in_the_corner.caught_by.values()) or in_the_corner.caught_by["PyTorch OpInfo samples"]
    assert not any(any(one.caught_by.values()) for one in few.correct)


def test_it_is_written_and_read(few: stored.Zoo, tmp_path: Path) -> None:
    assert stored.read(stored.write([few, few], tmp_path)) == (few, few)
    sample_run.sample(tmp_path / "records.jsonl", backends=["numpy"])
    assert sources.sources([tmp_path]).zoo == tmp_path / "mutants.json"


def test_a_newer_file_is_refused(few: stored.Zoo, tmp_path: Path) -> None:
    file = stored.write([few], tmp_path)
    file.write_text(file.read_text("utf-8").replace(f'"format": {stored.FORMAT}', '"format": 99', 1), "utf-8")
    with pytest.raises(RecordsError, match="upgrade"):
        stored.read(file)
    (tmp_path / "mutants.json").write_text("{")
    with pytest.raises(RecordsError, match="write it anew"):
        stored.read(tmp_path / "mutants.json")


def test_the_page_shows_the_slip_and_who_sees_it(few: stored.Zoo, tmp_path: Path) -> None:
    (page,) = (page.read_text(encoding="utf-8") for page in html.write_mutants([few], tmp_path))
    assert "2 of 2 mutants killed, 0 false alarms" in page
    assert "+ normaliser = wide(chosen.size)" in page
    assert "assert_allclose" in page
    assert "Defects of the suite" not in page


def test_defects_are_shown(few: stored.Zoo, tmp_path: Path) -> None:
    survivor = changed(few.mutants[0], {"families": {}, "clauses": ()})
    accused = changed(few.correct[0], {"alarms": ("seed 3: ACC-1: wrong",)})
    broken = changed(few, {"mutants": (survivor,), "correct": (accused,), "vacuous": (stored.Vacuous("v", ""),)})
    assert not broken.is_sound
    (page,) = (page.read_text(encoding="utf-8") for page in html.write_mutants([broken], tmp_path))
    for said in ("Defects of the suite", "VALUE-3</b> does not see", "seed 3: ACC-1: wrong", "survives"):
        assert said in page


def test_a_file_of_format_1_holds_one_loss(few: stored.Zoo, tmp_path: Path) -> None:
    (tmp_path / "mutants.json").write_bytes(b'{"format": 1, ' + msgspec.json.encode(few)[1:])
    assert stored.read(tmp_path / "mutants.json") == (few,)


def test_each_loss_has_a_page(few: stored.Zoo, tmp_path: Path) -> None:
    pages = html.write_mutants([few, changed(few, {"loss": "another_loss"})], tmp_path)
    assert [page.name for page in pages] == ["mutants.html", "mutants-another_loss.html"]
    assert 'href="mutants-another_loss.html"' in pages[0].read_text(encoding="utf-8")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="mean_by_count"):
        kills.choose([LOSS], ["mean_by_counts"])


# --- vectors ---------------------------------------------------------------------------------------------


def test_there_are_enough_vectors() -> None:
    assert len(vectors.vectors()) >= 400


def test_lint_wants_evidence_of_each_vector() -> None:
    vector = next(iter(vectors.vectors().values()))
    for change, message in (({"kills": (), "why": ""}, "no reason"), ({"kills": ("mean_by_counts",)}, "mean_by_count")):
        (problem,) = lint._evidence_problems(changed(vector, change))
        assert message in problem


def test_vectors_kill_what_they_say() -> None:
    """Each vector on the mutants that it names."""
    claims: dict[str, set[str]] = {}
    for vector in vectors.vectors().values():
        for name in vector.kills:
            claims.setdefault(name, set()).add(vector.id)
    found: dict[str, set[str]] = {name: set() for name in claims}
    for framework in zoo.FRAMEWORKS:
        chosen = [VARIANTS[name] for name in claims if VARIANTS[name].framework == framework]
        for dtype in ("float16", "bfloat16", "float32", "float64"):
            for bout in kills.bouts(chosen, ItemSpec(framework, "vectors", dtype), QUICK, kills.SPARING):
                found[bout.variant].update(bout.vectors)
    assert not {name: missing for name, ids in claims.items() if (missing := ids - found[name])}
