"""What is seen of an outcome: aspects, and in one word what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...specs.case import Status
from ...specs.grades import Grade
from ...specs.rules import Aspect

PASS, FAIL, OPEN = Status.PASS, Status.FAIL, Status.UNINFORMATIVE

# What can go wrong with a call, in one word each; signatures of known divergences are made of these.
SYMPTOMS = {
    "raised": "a legal call raised",
    "shape": "the result has the wrong shape",
    "dtype": "the result has the wrong dtype",
    "nan": "NaN where a number is due",
    "inf": "an infinity where a number is due, beyond even the format's own precision",
    "overflow": "an infinity or NaN where the required accumulator would not have overflowed",
    "number": "a number where NaN, an infinity or 0 is due",
    "value": "a number outside the bound of the format's own precision in any order",
    "inaccurate": "a number within the format's own precision but outside the required bound",
    "deep": "within the required bound, beyond that of a logarithmic summation tree",
    "not_rounded": "certified mean that is not correctly rounded",
    "pattern": "logarithmic depth is lost because of where ignored positions lie",
    "scaling": "scaling all weights by a power of two changes the mean",
    "subnormals": "subnormal numbers are flushed",
    "elsewhere": "a gradient that is not 0 at an entry that no target selects",
    "ignored": "a gradient that is not 0 at an ignored position",
    "not_raised": "a value where an error is due",
    "arguments": "the arguments were modified",
    "aliases": "the result shares memory with an argument or an earlier result",
    "state": "the result depends on earlier calls, or a global random generator was used",
    "repeatable": "the same call gave other bits",
    "threads": "calls from several threads gave other results than one after another",
    "relation": "results of related calls do not fit together",
    "crash": "the process died",
    "timeout": "the call did not come back",
}


@dataclass(frozen=True, slots=True)
class Look:
    """One look at an outcome: by aspect, in one word, how far off a sum is, and which element it is about."""

    aspects: Mapping[Aspect, Status] = field(default_factory=dict)
    symptom: str = ""
    grade: Grade | None = None
    where: tuple[int, ...] = ()
