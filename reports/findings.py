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
from .records import Finding, Tally

# Encoded calls longer than this stay in records.jsonl, so that a page can still be opened and mailed.
LONGEST_CALL = 20_000
_READABLE_ELEMENTS = 96
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
    return (
        f"lossparity replay {shlex.quote(str(file.parent if file.name == 'records.jsonl' else file))}#{finding.digest}"
    )


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


def shares_unexpected(tallies: Iterable[Tally]) -> dict[tuple[str, str], float]:
    """Of each subject and clause, which share of the calls came out unexpectedly: a large one tells more."""
    total, wrong = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for tally in tallies:
        total[tally.subject, tally.clause] += tally.count
        wrong[tally.subject, tally.clause] += 0 if tally.expected else tally.count
    return {where: wrong[where] / number for where, number in total.items() if number}


def telling_first(finding: Finding, shares: Mapping[tuple[str, str], float]) -> list[str]:
    """The clauses of a finding, the most telling first."""
    return sorted(finding.clauses, key=lambda id: -shares.get((finding.subject, id), 0.0))


def one_of_each(
    findings: Iterable[Finding], limit: int, shares: Mapping[tuple[str, str], float] = MappingProxyType({})
) -> list[tuple[Finding, tuple[str, ...]]]:
    """The smallest finding of each kind with the other dtypes that show it, at most `limit`, in order of appearance.

    A kind is one fault as far as its findings tell: a subject, a status, what went wrong, and the divergence that
    expects it, or of an unexpected one the most telling of its clauses.
    """
    kinds: dict[tuple[Any, ...], list[Finding]] = {}
    for one in findings:
        fault, _, _ = one.because.partition(": ")  # without what is said of this call alone
        says = one.divergence if one.expected else next(iter(telling_first(one, shares)), "")
        kinds.setdefault((one.subject, one.expected, one.status, fault, says), []).append(one)
    return [_smallest(kind) for kind in list(kinds.values())[:limit]]


def _smallest(kind: list[Finding]) -> tuple[Finding, tuple[str, ...]]:
    chosen = min(kind, key=size)
    return chosen, tuple(dict.fromkeys(one.dtype for one in kind if one.dtype != chosen.dtype))


def size(finding: Finding) -> int:
    """Elements of a call's arrays, as far as it says them."""
    shapes = (value.get("shape") for value in finding.call.values() if isinstance(value, dict))
    return sum(math.prod(n for n in shape if isinstance(n, int)) for shape in shapes if isinstance(shape, list))
