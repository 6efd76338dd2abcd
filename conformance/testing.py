"""Conformance tests inside a test suite of one's own: one for each family of cases and dtype of input.

    from lossparity.conformance.testing import conformance_tests
    from my_project.losses import nll_loss

    test_nll_loss = conformance_tests(nll_loss, framework="torch")

pytest then collects `test_nll_loss[ignore-float32]` and its like, which make the calls of `lossparity check`, here in
pytest's own process and on the CPU. So a function that crashes or hangs takes that pytest along; `lossparity check`
survives both.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import pytest

from ..adapters import registry, user
from ..adapters.base import Backend, Subject
from ..adapters.domains import Asking, asked_for, domain_of
from ..reports.records import Item, Record
from ..reports.verdict import plural
from ..specs import losses
from ..specs.call import Signature
from ..specs.case import Status
from ..specs.domain import EVERYTHING
from ..specs.errors import LossparityError, UsageError
from ..specs.loss import LARGE, Loss
from ..specs.vectors import vector_cases
from .items.breadcrumb import NoTrail
from .items.isolation import NoIsolation
from .items.probe import probe
from .items.runner import run_item
from .items.spec import DEFAULT_PROFILE, VECTORS, ItemSpec, Request, planned_cases
from .judging import explain
from .judging.judge import Traits
from .judging.ledger import Divergence, Ledger, for_subject
from .judging.rows import load_file
from .planning import asking, plan
from .running import soundness

_DEVICE = "cpu"
_SHOWN = 3  # kinds of unexpected results that one test tells in full
_SAYS_NOTHING = {Status.UNSUPPORTED.value, Status.UNINFORMATIVE.value}


def conformance_tests(
    function: Callable[..., Any],
    *,
    framework: str,
    profile: str = DEFAULT_PROFILE,
    arguments: Mapping[str, str] | None = None,
    compiled: bool = False,
    traced: bool = False,
    families: str | Iterable[str] = (),
    ledger: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    strict: bool = False,
    loss: str | Loss = losses.DEFAULT,
    **domain: Unpack[Asking],
) -> Callable[[ItemSpec], None]:
    """A parametrized test function; assign it to a name that begins with `test_`.

    `function` takes the arguments of the loss as arrays of the framework, those of `nll_loss` being (input, target,
    weight=None, ignore_index=-100, reduction="mean"). `loss` is the name of one that ships, one of your own, or where
    that is, MODULE:OBJECT. The other options are those of `lossparity check`: `ranks=2`, `reductions="mean"`,
    `no_weight=True` and their like say what the function is for (`domain`), `arguments={"input": "x"}` what it calls
    its arguments; `ledger` is a file of known divergences.

    Where the framework is not installed the tests are skipped, and so is a test all of whose calls ask for what the
    function is without. With JAX there are tests of both modes, 64-bit types on and off.

    Raises UsageError, NothingRan (nothing is left to ask), or LedgerError (the file), before any test runs.
    """
    backend = registry.backend(framework)
    user.require_wrap(backend)
    signature = (losses.register(loss) if isinstance(loss, Loss) else losses.find(loss)).signature
    asked = domain_of(signature, **domain)
    target = user.target_of(
        function, framework, asked, (arguments or {}).items(), signature=signature, compiled=compiled, traced=traced
    )
    if compiled and (backend.compiler is None or backend.module in sys.modules):  # else it cannot be compiled yet
        user.require_eager(function, target, backend)
    if plan.check_profile(profile) == LARGE:
        raise UsageError(f"profile {profile!r} takes gigabytes a call; leave it to `lossparity check`")
    names, seed = [target.subject + mode for mode in backend.modes], plan.choose_seed(profile, seed)
    within = asked_for(asked, signature, backend.targets)
    request = Request(profile=profile, seed=seed, strict=strict, device=_DEVICE, families=_words(families),
                      losses=(signature.loss,), domain=within, is_check=True)  # fmt: skip
    known = () if ledger is None else load_file(Path(ledger), names)
    suite = _Suite(signature, function, target, backend, request, [*plan.machinery(framework, names), *known])
    test = _at_the_line_of_the_caller(lambda item: suite.run(item))
    test.__doc__ = f"{target.place} conforms to the specification of {signature.loss}."
    asking.require_some(request)
    return _parametrized(test, plan.items({signature.loss: names}, request), target, backend)


def _parametrized(
    test: Any, items: Iterable[ItemSpec], target: user.Target, backend: Backend
) -> Callable[[ItemSpec], None]:
    """The test with an item for each of those that have a case, the most telling calls first."""
    known = [one for one in items if one.family != VECTORS or any(vector_cases(one.loss_name, one.dtype))]
    known.sort(key=lambda item: item.family != VECTORS)
    modes = [item.subject.removeprefix(target.subject).replace(":", "-") for item in known]
    ids = [f"{item.family}-{item.dtype}{mode}" for item, mode in zip(known, modes, strict=True)]
    absent = f"{backend.name} is not installed; install it with: {backend.install}"
    skipped = pytest.mark.skipif(not registry.is_installed(backend), reason=absent)
    return skipped(pytest.mark.parametrize("item", known, ids=ids)(test))


def _words(option: str | Iterable[str]) -> tuple[str, ...]:
    return (option,) if isinstance(option, str) else tuple(option)


def _at_the_line_of_the_caller(test: Any) -> Any:
    """The test, standing where `conformance_tests` was called: pytest and editors tell the place of a test."""
    caller = sys._getframe(2)
    test.__code__ = test.__code__.replace(co_filename=caller.f_code.co_filename, co_firstlineno=caller.f_lineno)
    test.__name__ = test.__qualname__ = "conformance"  # pytest's marks take no lambda
    return test


@dataclass(frozen=True)
class _Suite:
    """One function and what is asked of it; the framework is imported, and probed, when the first test runs."""

    signature: Signature
    function: Callable[..., Any]
    target: user.Target
    backend: Backend
    request: Request
    rows: Sequence[Divergence]
    _traits: dict[tuple[str, str], Traits] = field(default_factory=dict)

    @cached_property
    def subjects(self) -> dict[str, Subject]:
        """The function as a subject, in each mode of the framework."""
        registry.start(self.backend)
        made = user.subjects(self.signature, self.function, self.target, self.backend, _DEVICE)
        return {subject.name: subject for subject in made}

    def run(self, spec: ItemSpec) -> None:
        """Run one item; ends in pytest's own way unless it is as expected."""
        __tracebackhide__ = True
        try:
            with _alone():
                records = self._records(spec)
        except LossparityError as error:
            pytest.fail(f"{type(error).__name__}: {error}", pytrace=False)
        item = next(record for record in records if isinstance(record, Item))
        small = self.request.domain.is_small
        problems = [*soundness.unaccounted([item]), *soundness.silent_hearts([item], in_small=small)]
        if item.unexpected or problems:
            pytest.fail(self._in_words(item, records, problems), pytrace=False)
        if set(item.statuses) <= _SAYS_NOTHING:
            pytest.skip(self._why_nothing(spec, item))

    def _records(self, spec: ItemSpec) -> list[Record]:
        subject, key = self.subjects[spec.subject], (spec.subject, spec.dtype)
        if key not in self._traits:
            self._traits[key] = probe(subject, spec.dtype, spec.loss)
        known = self._known(spec)
        return run_item(spec, self.request, subject, self._traits[key], known, NoTrail(), NoIsolation())[0]

    def _known(self, spec: ItemSpec) -> Ledger:
        return for_subject(self.rows, spec.subject, self.backend.version(), spec.device)

    def _in_words(self, item: Item, records: Sequence[Record], problems: Sequence[str]) -> str:
        """All that a reader needs to mend the function; the first line is what pytest's summary shows."""
        kinds = explain.kinds(records)
        lines = [f"engine error: {problem}" for problem in problems]
        if kinds:
            first = f"{kinds[0].clauses[0]}: {kinds[0].because}"
            lines.append(f"{first} {item.unexpected:,} of {plural(item.planned, 'call')} unexpected")
            lines.append(f"profile {self.request.profile}, seed {self.request.seed}; of each kind the smallest call:")
        lines += ["\n" + explain.finding(kind, losses.find(kind.loss).rules.clauses) for kind in kinds[:_SHOWN]]
        if len(kinds) > _SHOWN:
            lines.append(f"\n{plural(len(kinds) - _SHOWN, 'more kind')}; `lossparity check` reports them all")
        return "\n".join(lines)

    def _why_nothing(self, spec: ItemSpec, item: Item) -> str:
        """Why no call of an item could be judged: what the function is without, or says that it does not do."""
        if item.declined:
            return next(iter(item.declined))
        everything = dataclasses.replace(self.request, domain=EVERYTHING, is_check=False)
        subject = self.subjects[spec.subject]
        cases = itertools.islice(planned_cases(spec, everything, subject, self._known(spec))[0], 100)
        reasons = (subject.capabilities.refuses(case.call) for case in cases)
        asked = f"no calls of family {spec.family} are meant for this function, asked for {self.request.domain.said}"
        return next(filter(None, reasons), asked)


# --- a process that is not ours ---------------------------------------------------------------------------


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep away from the surrounding test suite's filters of warnings: an overflow that is due warns, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
