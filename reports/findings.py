"""Findings made readable: arrays as text, a snippet that loads the call, links to what is referred to."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..specs import losses
from ..specs.call import Array
from ..specs.encoding import decode_call
from ..specs.errors import UsageError, VectorError
from . import folder
from .records import Finding, Tally

# (loss, subject, clause) -> which share of the calls came out unexpectedly
Shares = Mapping[tuple[str, str, str], float]
_NO_CHANCE = 3  # unexpected calls of a clause, from which on their share tells something
# Clauses that say what is special about a call stand before those that every call exercises.
_FAMILIES = ("PURE", "REL", "LAYOUT", "GRAD", "IGN", "WEIGHT", "SPECIAL", "VALUE", "ACC", "DTYPE", "SHAPE", "ERR")
# Encoded calls longer than this stay in records.jsonl, so that a page can still be opened and mailed.
LONGEST_CALL = 20_000
_READABLE_ELEMENTS = 96
_ONE_LINE = 12  # elements that fit
# Stands above the calls before a crash.
BEFORE = "calls before it in the same process, newest first: if memory was corrupted, one of these did it"
_GITHUB = re.compile(r"^([\w.-]+/[\w.-]+)#(\d+)$")


@dataclass(frozen=True, slots=True)
class ArrayText:
    """One argument: its name, type and shape, and its values as text."""

    name: str
    kind: str
    values: str


def arrays_of(call: dict[str, Any], loss: str) -> list[ArrayText]:
    """The array arguments of an encoded call of a loss; one that cannot be decoded is shown as the error says."""
    try:
        decoded = decode_call(call, losses.find(loss).signature)
    except (UsageError, VectorError) as error:
        return [ArrayText("call", "unreadable", str(error))]
    return [
        ArrayText(name, f"{array.dtype.name}{list(array.shape)}", readable(array)) for name, array in decoded.arrays()
    ]


def readable(array: Array) -> str:
    """An array as text: shortest decimals that read back to the same number, long ones abridged."""
    width = max((len(str(value)) for value in array.flat), default=0) if array.size <= _READABLE_ELEMENTS else 0
    if array.size <= _ONE_LINE:
        return " ".join(np.array2string(array, separator=", ", formatter={"all": str}).split())
    if (array == array.reshape(-1)[0]).all():
        return f"{array.reshape(-1)[0]!s} everywhere"
    formatter: Any = {"all": lambda value: f"{value!s:>{width}}"}
    return np.array2string(
        array,
        threshold=_READABLE_ELEMENTS,
        edgeitems=4,
        max_line_width=100,
        separator=", ",
        formatter=formatter,
    )


def snippet(call: dict[str, Any], loss: str) -> str | None:
    """Python that loads an encoded call of a loss, ready to run; None when the call is too long for a page."""
    encoded = json.dumps(call)
    if len(encoded) > LONGEST_CALL:
        return None
    return (
        "import json\n"
        "from lossparity.specs import losses\n"
        "from lossparity.specs.encoding import decode_call\n\n"
        # JSON never holds three quotation marks in a row, and a raw string keeps its backslashes.
        f'call = decode_call(json.loads(r"""{encoded}"""), losses.find({losses.place(loss)!r}).signature)\n'
        "print(call.digest(), call.describe())\n"
    )


def replay_line(path: str, finding: Finding) -> str:
    """The command that runs a finding of the records file at this path again, ready for a shell."""
    file = Path(path)
    place = file.parent if file.name == folder.RUN else file
    if folder.is_dated(place) or place.name == folder.LATEST:  # a run is found there when it is not the newest, too
        place = place.parent
    return f"lossparity replay {shlex.quote(str(place))}#{finding.digest}"


def link(reference: str) -> str | None:
    """The address of a reference: itself, a GitHub thread for `owner/repo#1`, None for plain words."""
    if reference.startswith(("https://", "http://")):
        return reference
    thread = _GITHUB.match(reference.strip())
    return f"https://github.com/{thread[1]}/issues/{thread[2]}" if thread else None


def by_cell(findings: Iterable[Finding]) -> dict[tuple[str, str], list[Finding]]:
    """Findings under each clause and subject they concern, unexpected ones first."""
    found: dict[tuple[str, str], list[Finding]] = {}
    for finding in sorted(findings, key=lambda finding: finding.expected):
        for clause in finding.clauses:
            found.setdefault((clause, finding.subject), []).append(finding)
    return found


def shares_unexpected(tallies: Iterable[Tally]) -> Shares:
    """Of each clause on each subject, which share of the calls came out unexpectedly, where that is no chance."""
    total, wrong = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    for tally in tallies:
        key = tally.loss, tally.subject, tally.clause
        total[key] += tally.count
        wrong[key] += 0 if tally.expected else tally.count
    return {key: wrong[key] / number for key, number in total.items() if wrong[key] >= _NO_CHANCE}


def telling_first(finding: Finding, shares: Shares) -> tuple[str, ...]:
    """The clauses of a finding, the most telling first: one that most of its calls broke tells more.

    One that was made smaller keeps its order: what is left in it is what it is about.
    """
    if finding.made_from:
        return finding.clauses

    def rank(id: str) -> tuple[bool, float, int]:
        family, share = id.partition("-")[0], shares.get((finding.loss, finding.subject, id), 0.0)
        return not is_named(family, finding.symptom), -share, telling(family)

    return tuple(sorted(finding.clauses, key=rank))


def is_named(family: str, symptom: str) -> bool:
    """Whether what went wrong is what a family of clauses is about, a wrong dtype or shape."""
    return family in ("DTYPE", "SHAPE") and family == symptom.upper()


def telling(family: str) -> int:
    """The place of a family of clauses among others, those first that say most about a call."""
    return _FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES)


def one_of_each(
    findings: Iterable[Finding], limit: int, shares: Shares = MappingProxyType({})
) -> list[tuple[Finding, tuple[str, ...]]]:
    """The smallest finding of each kind with the other dtypes that show it, at most `limit`, in order of appearance.

    A kind is one fault as far as its findings tell: a subject, a status, what went wrong, and the divergence that
    expects it, or of an unexpected one the most telling of its clauses.
    """
    kinds: dict[tuple[Any, ...], list[Finding]] = {}
    for one in findings:
        says = one.divergence if one.expected else next(iter(telling_first(one, shares)), "")
        key = one.loss, one.subject, one.expected, one.status, one.symptom or one.because, says
        kinds.setdefault(key, []).append(one)
    return [_smallest(kind) for kind in list(kinds.values())[:limit]]


def _smallest(kind: list[Finding]) -> tuple[Finding, tuple[str, ...]]:
    chosen = min(kind, key=size)
    return chosen, tuple(dict.fromkeys(one.dtype for one in kind if one.dtype != chosen.dtype))


def size(finding: Finding) -> int:
    """Elements of a call's arrays, as far as it says them."""
    shapes = (value.get("shape") for value in finding.call.values() if isinstance(value, dict))
    return sum(math.prod(n for n in shape if isinstance(n, int)) for shape in shapes if isinstance(shape, list))
