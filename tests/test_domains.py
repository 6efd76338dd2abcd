"""Domains: which calls are in one, what is planned and drawn of a loss, and that nothing else is worked out."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from lossparity.adapters import user
from lossparity.adapters.base import Capabilities
from lossparity.adapters.domains import domain_of
from lossparity.conformance.items.spec import Asked, Request
from lossparity.conformance.planning import plan
from lossparity.conformance.planning.plan import RunSpec
from lossparity.conformance.testing import conformance_tests
from lossparity.specs import losses
from lossparity.specs.call import Call, Signature, Transform
from lossparity.specs.case import Case
from lossparity.specs.domain import EVERYTHING, Domain, of_words, value_of
from lossparity.specs.errors import NothingRan, UsageError
from lossparity.specs.loss import Draw, Family
from lossparity.specs.nll_loss import oracle
from lossparity.specs.nll_loss.loss import LOSS
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.relations import Comparison, same

from . import toys
from .kit import failure, ids, run
from .toy_loss import TOY, numbers

TOY_LOSS = losses.find(f"{Path(__file__).with_name('toy_loss.py')}:LOSS")  # as other tests find it
SMALL_DOMAIN = domain_of(
    NLL_LOSS, dtypes=("float32",), targets=("int64",), ranks=(2,), only={"reduction": ("mean", "sum")},
    no=("weight", "ignore_index"), no_empty=True,
)  # fmt: skip


def call(shape: tuple[int, ...] = (4, 3), **more: Any) -> Call:
    target = np.zeros(shape[:1] + shape[2:] if len(shape) > 1 else (), np.int64)
    return NLL_LOSS.call(np.zeros(shape, np.float32), target, **more)


# --- what is in a domain ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "inside", "outside"),
    [
        ({"dtypes": ["float32"]}, call(), call().replace(input=np.zeros((4, 3)))),
        ({"targets": ["int64"]}, call(), call().replace(target=np.zeros(4, np.int8))),
        ({"ranks": [2, 3]}, call((4, 3, 2)), call((4, 3, 2, 2))),
        ({"only": {"reduction": ["sum"]}}, call(reduction="sum"), call()),
        ({"no": ["reduction"]}, call(), call(reduction="sum")),
        ({"no": ["weight"]}, call(), call(weight=np.ones(3, np.float32))),
        ({"no": ["ignore_index"]}, call(ignore_index=-100), call(ignore_index=7)),
        ({"no": ["ignore_index"]}, call(), call().replace(target=np.array([0, 1, -100, 2]))),
        ({"only": {"ignore_index": [7]}}, call(ignore_index=7), call()),
        ({"no_empty": True}, call(), call((4, 3, 0))),
        ({"no_unbatched": True}, call((1, 3)), call((3,))),
    ],
)  # fmt: skip
def test_a_call_is_in_a_domain_or_not(options: dict[str, Any], inside: Call, outside: Call) -> None:
    domain = domain_of(NLL_LOSS, **options)
    assert LOSS.is_within(domain, inside)
    assert not LOSS.is_within(domain, outside)
    assert LOSS.is_within(EVERYTHING, outside)


def test_what_must_be_refused_is_in_the_domain_in_all_other_respects() -> None:
    """A reduction or a dtype that nobody has is no reason to leave a call out; another rank is."""
    assert LOSS.is_within(SMALL_DOMAIN, call(reduction="avg"))
    assert LOSS.is_within(SMALL_DOMAIN, call().replace(input=np.zeros((4, 3), np.int32)))
    assert LOSS.is_within(SMALL_DOMAIN, call().replace(target=np.zeros(4, bool)))
    assert LOSS.is_within(SMALL_DOMAIN, call().replace(target=np.zeros(5, np.int64)))
    assert not LOSS.is_within(SMALL_DOMAIN, call(reduction="none"))
    assert not LOSS.is_within(SMALL_DOMAIN, call((4, 3, 2)).replace(target=np.zeros(5, np.int64)))


def test_the_axis_that_is_mapped_over_is_none_of_the_functions() -> None:
    batch = call((4, 3, 2)).replace(transform=Transform("vmap", batched=("input",)))
    assert LOSS.is_within(domain_of(NLL_LOSS, ranks=[2]), batch)
    assert not LOSS.is_within(domain_of(NLL_LOSS, ranks=[3]), batch)


def test_a_domain_is_said_in_words_and_found_again() -> None:
    assert SMALL_DOMAIN.said == (
        "float32, 2-d input, int64 targets, reduction mean or sum, no weight, no ignore_index, no empty arrays"
    )
    every = domain_of(
        NLL_LOSS, dtypes=["float16"], targets=["int8"], without=["second order"], ranks=[1, 2], no_unbatched=True,
        only={"ignore_index": [-1, 7]}, no=["weight"],
    )  # fmt: skip
    for domain in (EVERYTHING, SMALL_DOMAIN, every):
        assert of_words(domain.words) == domain
        target = user.target("numpy", "a.b:c", domain, [("input", "x")])
        assert user.parse(target.key) == target
    assert [value_of(text) for text in ("7", "1.5", "None", "True", "mean")] == [7, 1.5, None, True, "mean"]
    with pytest.raises(UsageError, match="'something' says nothing"):
        of_words(["something"])


def test_a_domain_travels_with_a_run_and_is_part_of_its_digest() -> None:
    runs = [
        RunSpec(request=Request(domain=domain), backends=(), subjects={"nll_loss": ("numpy",)}, owners={})
        for domain in (EVERYTHING, SMALL_DOMAIN, dataclasses.replace(SMALL_DOMAIN, empty=True))
    ]
    assert [RunSpec.decode(one.encode()) for one in runs] == runs
    assert len({plan.digest(one, [], {}) for one in runs}) == 3
    assert {spec.dtype for spec in plan.items(runs[1].subjects, runs[1].request)} == {"float32"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": {"reductoin": ["mean"]}}, "--only: nll_loss has no option 'reductoin'; did you mean reduction"),
        ({"only": {"reduction": ["maen"]}}, "--only reduction: there is no 'maen'; did you mean mean"),
        ({"only": {"reduction": []}}, "reduction has to have some value"),
        ({"no": ["input"]}, "--no: nll_loss does without no argument 'input'"),
        ({"without": ["gradients"]}, "--without: there is no 'gradients'; did you mean gradient"),
        ({"ranks": [-1]}, "--ranks: -1 is no number of axes"),
    ],
)
def test_what_does_not_exist_is_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        domain_of(NLL_LOSS, "--", **options)


# --- what is planned -------------------------------------------------------------------------------------

DOMAINS = (
    SMALL_DOMAIN,
    domain_of(NLL_LOSS, ranks=(1,)),
    domain_of(NLL_LOSS, ranks=(4,), no=("weight",), targets=("uint8",)),
    domain_of(NLL_LOSS, only={"ignore_index": (-1,)}, no_empty=True, no_unbatched=True),
    domain_of(NLL_LOSS, no=("reduction", "ignore_index"), ranks=(2, 3)),
)


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.said)
@pytest.mark.parametrize("tier", [1, 3])
def test_families_make_nothing_outside_of_a_domain(domain: Domain, tier: int) -> None:
    """And as many cases as they say; what they make is mostly what is asked for, not thrown away."""
    draw = Draw("float32", "quick", 0, tier, domain, lambda kind: kind == "jvp")
    for name, family in LOSS.families.items():
        if name == "large":
            continue
        cases = list(family.cases(draw))
        outside = [case for case in cases if not LOSS.is_within(domain, case.call)]
        assert [case.call.describe() for case in outside] == [], name
        assert family.size is None or family.size(draw) == len(cases), name
        assert not [case for case in cases if case.call.kind == "jvp"]


def test_the_budget_goes_into_what_is_left() -> None:
    """A family that draws its cases draws about as many structures; filtering all of them would leave few."""
    draw = Draw("float32", "quick", 0, 3, SMALL_DOMAIN)
    for name in ("value", "accuracy", "special", "shape", "dtype"):
        everything = [case.call for case in LOSS.families[name].cases(Draw("float32", "quick", 0, 3))]
        thrown_away = sum(LOSS.is_within(SMALL_DOMAIN, one) for one in everything)
        left = sum(1 for _ in LOSS.families[name].cases(draw))
        assert left > 1.5 * thrown_away, name


def test_what_is_left_out_is_given_no_exact_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Call] = []
    original = oracle._expect

    def watched(call: Call, selection: Any) -> Any:
        asked.append(call)
        return original(call, selection)

    monkeypatch.setattr(oracle, "_expect", watched)
    for name, family in LOSS.families.items():
        if name != "large":
            list(family.cases(Draw("float32", "quick", 0, 3, SMALL_DOMAIN)))
    assert len(asked) > 500
    assert all(LOSS.is_within(SMALL_DOMAIN, one) for one in asked)


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.said)
def test_exploration_draws_inside(domain: Domain) -> None:
    for name, family in LOSS.families.items():
        draw = Draw("float32", "quick", 0, 3, domain)
        if family.explored is None or (exploration := family.explored(draw)) is None:
            continue
        drawn = [list(exploration.cases(one)) for one in _draws(exploration.drawn)]
        assert all(LOSS.is_within(domain, case.call) for cases in drawn for case in cases)
        assert sum(map(bool, drawn)) >= 0.5 * len(drawn) > 0, name


def _draws(strategy: Any) -> list[Any]:
    found: list[Any] = []

    @hypothesis.settings(max_examples=20, database=None, deadline=None, phases=[hypothesis.Phase.generate])
    @hypothesis.seed(1)
    @hypothesis.given(strategy)
    def draw(one: Any) -> None:
        found.append(one)

    draw()
    return found


def test_a_user_is_not_asked_for_what_the_framework_has_nothing_for() -> None:
    can = Capabilities(binding="user", style="eager", without={"weight gradient": "no", "jvp": "no"})
    small, all_of_it = (Asked(LOSS, Request(is_check=is_check), can) for is_check in (True, False))
    assert [small.lacks(kind) for kind in ("jvp", "weight_gradient", "gradient")] == [True, True, False]
    assert not all_of_it.lacks("jvp")  # is planned, and reported as unsupported


# --- any loss ----------------------------------------------------------------------------------------------


def only_sums(input: Any, target: Any) -> Any:
    """The toy loss's sum, of what has two axes."""
    if input.ndim != 2 or input.shape != target.shape:
        kind = ValueError if input.shape != target.shape else NotImplementedError
        raise kind("two axes of the same shape")
    return toys.correct(input, target, "sum")


def test_another_loss_has_domains_too() -> None:
    options: Any = {"framework": "numpy", "loss": TOY_LOSS, "ranks": 2, "only": {"reduction": ("sum",)}}
    test = conformance_tests(only_sums, **options, dtypes="float32")
    assert {"value-float32", "error-float32"} <= set(ids(test))
    skipped: set[str] = set()
    for id in ids(test):
        try:
            run(test, id)
        except pytest.skip.Exception:
            skipped.add(id)
    assert skipped == {f"{name}-float32" for name in ("error", "gradient", "purity", "relation")}  # nothing to ask
    with pytest.raises(UsageError, match="toy_mse does without no argument 'weight'"):
        conformance_tests(only_sums, **options, no_weight=True)
    with pytest.raises(NothingRan, match="--ranks 7"):
        conformance_tests(only_sums, **(options | {"ranks": 7}))


def test_a_relation_that_leaves_the_domain_is_not_performed() -> None:
    """This one would fail: it takes a sum for what it is the sum of."""

    def leaving(run: Any, call: Call, arithmetic: Any) -> Iterator[Comparison]:
        yield same("a sum is no sum", run(call), run(call.replace(reduction="sum")))

    signature = dataclasses.replace(TOY, loss="leaving_mse")
    mine = dataclasses.replace(TOY_LOSS, signature=signature, relations={"REL-1": leaving})
    mine = dataclasses.replace(mine, families={"relation": Family(cases=functools.partial(_begun, signature))})
    options: Any = {"framework": "numpy", "loss": mine, "families": "relation", "dtypes": "float32"}
    assert "a sum is no sum" in failure(conformance_tests(toys.correct, **options), "relation-float32")
    with pytest.raises(pytest.skip.Exception):
        run(conformance_tests(toys.correct, **options, reductions="none"), "relation-float32")


def _begun(signature: Signature, draw: Draw) -> Iterator[Case]:
    x, t = numbers(draw.dtype, (3,), 0)
    yield TOY_LOSS.case_of(signature.call(x, t, "none"), "relation", 1, "", ()).in_experiment("REL-1")


def test_what_is_generic_about_a_domain_is_true_of_other_losses() -> None:
    x = np.zeros((3, 2), np.float32)
    assert TOY_LOSS.is_within(domain_of(TOY, ranks=[2]), TOY.call(x, x))
    assert not TOY_LOSS.is_within(domain_of(TOY, ranks=[1]), TOY.call(x, x))
    assert not TOY_LOSS.is_within(domain_of(TOY, no=["reduction"]), TOY.call(x, x, "sum"))
