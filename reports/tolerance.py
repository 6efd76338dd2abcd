"""How accurate each subject was: accuracy records merged over decades of size, ready to be shown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..specs.grades import Excess
from .records import Accuracy

# Classes of the verdict ladder, in order (`lossparity.specs.grades.Level`).
LADDER = {
    "E0": "exact",
    "E1": "correctly rounded",
    "E2": "at most one representable number from correctly rounded",
    "E3": "within the bound of a wide accumulator and logarithmic depth",
    "E4": "within the bound of a wide accumulator, any order",
    "E5": "within the bound of its own precision and logarithmic depth",
    "E6": "within the bound of its own precision, any order",
    "X": "out of bound",
}
_DTYPES = ("float16", "bfloat16", "float32", "float64")
_REDUCTIONS = ("none", "sum", "mean")


def titled(dtype: str, reduction: str) -> str:
    """`float32 sum`, or `float32` where a loss does not reduce."""
    return f"{dtype} {reduction}".rstrip()


@dataclass(frozen=True, slots=True)
class Precision:
    """One subject in one dtype and reduction, over one decade or, in `decades`, over several."""

    subject: str
    dtype: str
    reduction: str
    decade: int | None
    judged: int
    uninformative: int
    correctly_rounded: int
    ulps: Counter[float]
    levels: dict[str, int]
    worst_ulps: float
    worst_relative: float | None
    worst_utilisation: float
    worst_depth: int
    worst: Accuracy | None  # the record that holds the worst call
    outside: str = ""  # what these results show that are no rounding errors
    decades: tuple[Precision, ...] = ()

    @property
    def name(self) -> str:
        """The subject, and what takes its results out of rounding errors."""
        return f"{self.subject} {self.outside}".rstrip()

    @property
    def title(self) -> str:
        """The dtype and the reduction, if the loss has one."""
        return titled(self.dtype, self.reduction)

    @property
    def uninformative_share(self) -> float:
        """Share of calls whose bound was too wide to judge them."""
        return self.uninformative / max(1, self.judged + self.uninformative)

    @property
    def rounded_share(self) -> float:
        """Share of judged calls whose result was correctly rounded."""
        return self.correctly_rounded / max(1, self.judged)

    @property
    def median_ulps(self) -> float | None:
        """The median error in ulp, to two significant digits; None where nothing was judged."""
        middle = (self.ulps.total() + 1) // 2
        for error in sorted(self.ulps):
            middle -= self.ulps[error]
            if middle <= 0:
                return error
        return None


@dataclass(frozen=True, slots=True)
class Group:
    """The subjects side by side in one dtype and reduction; `best` and `worst` name whoever stands out.

    `rows` are of rounding errors, `outside` of results that are none: several for a subject, or none.
    """

    dtype: str
    reduction: str
    rows: tuple[Precision, ...]
    best: tuple[str, ...]
    worst: tuple[str, ...]
    outside: tuple[Precision, ...] = ()

    @property
    def title(self) -> str:
        """The dtype and the reduction, if the loss has one."""
        return titled(self.dtype, self.reduction)


@dataclass(frozen=True, slots=True)
class DeepSum:
    """What it amounts to in one dtype that a subject misses ACC-4: the reductions that do, and the largest error."""

    dtype: str
    reductions: tuple[str, ...]
    worst: Excess

    @property
    def short(self) -> str:
        """`0.38 % at 65,537`."""
        return f"{percent(self.worst.error)} at {self.worst.terms:,}"


def deep_sums(records: Iterable[Accuracy]) -> dict[str, list[DeepSum]]:
    """By subject, what missing ACC-4 amounts to, the largest error first; subjects that meet it are left out."""
    found: dict[str, dict[str, list[tuple[str, Excess]]]] = {}
    for one in records:
        if one.deep is not None:
            found.setdefault(one.subject, {}).setdefault(one.dtype, []).append((one.reduction, one.deep))
    return {
        subject: sorted(
            (_deep_sum(dtype, pairs) for dtype, pairs in by_dtype.items()), key=lambda one: -one.worst.error
        )
        for subject, by_dtype in found.items()
    }


def _deep_sum(dtype: str, found: Sequence[tuple[str, Excess]]) -> DeepSum:
    reductions = tuple(sorted({name for name, _ in found}, key=lambda name: _place(_REDUCTIONS, name)))
    return DeepSum(dtype, reductions, max((excess for _, excess in found), key=lambda one: one.error))


def deep_sentences(records: Iterable[Accuracy]) -> list[str]:
    """What missing ACC-4 amounts to, one sentence for each subject that does."""
    return [_deep_sentence(subject, *sums) for subject, sums in deep_sums(records).items()]


def _deep_sentence(subject: str, first: DeepSum, *others: DeepSum) -> str:
    allowed = f"where a careful sum is at most {percent(first.worst.bound)} off"
    parts = [f"{_off_by(first)} off at {first.worst.terms:,} terms, {allowed}"]
    parts += [f"{_off_by(one)} at {one.worst.terms:,}" for one in others]
    return f"{subject}'s sums lose accuracy as they grow: {'; '.join(parts)} (ACC-4, SHOULD)"


def _off_by(one: DeepSum) -> str:
    return f"{titled(one.dtype, ' and '.join(one.reductions))} up to {percent(one.worst.error)}"


def percent(share: float) -> str:
    """A share with two significant digits: `0.38 %`."""
    return f"{100 * share:.2g} %"


def relative(error: float | None) -> str:
    """A relative error with two significant digits: `98 %`, `250,000 %`, `0.38 %`, `3.1e-08`."""
    if error is None:
        return "–"
    if not 1e-4 <= error < 1e6:
        return f"{error:.2g}"
    return f"{float(f'{100 * error:.2g}'):,.10g} %"


def as_size(number: float) -> float:
    """A number that says how large something is, as a float64: what is no number, or too large for it, is infinite."""
    try:
        size = abs(float(number))
    except OverflowError:
        return math.inf
    return math.inf if math.isnan(size) else size


def whole(number: int) -> str:
    """A count in full, or with three significant digits where nobody would read it: `1,930`, `4.31e+602`."""
    return f"{number:,}" if abs(number) < 10**12 else f"{Decimal(number):.3g}"


def in_ulps(error: float | None) -> str:
    """An error with three significant digits: `0.5`, `31.4`, `1,930`, `2.1e+07`, `∞`."""
    if error is None:
        return "–"
    if math.isinf(error):
        return "∞"
    return f"{float(f'{error:.3g}'):,.0f}" if 1000 <= error < 1e6 else f"{error:.3g}"


def bars(groups: Sequence[Group]) -> Callable[[float], float]:
    """Lengths of bars between 0 and 1, logarithmic and on one scale: full at the largest error of all."""
    errors = [row.worst_ulps for group in groups for row in group.rows if row.judged and math.isfinite(row.worst_ulps)]
    full = math.log2(1 + max(errors, default=1.0)) or 1.0
    return lambda error: math.log2(1 + error) / full if math.isfinite(error) else 1.0


def table(records: Iterable[Accuracy], subjects: Sequence[str] = ()) -> list[Group]:
    """Group accuracy records by dtype and reduction, with a row per subject in the order of `subjects`."""
    found: dict[tuple[str, str], dict[tuple[str, str], list[Accuracy]]] = {}
    for record in records:
        by_row = found.setdefault((record.dtype, record.reduction), {})
        by_row.setdefault((record.subject, record.outside), []).append(record)
    ordered = sorted(found, key=lambda key: (_place(_DTYPES, key[0]), _place(_REDUCTIONS, key[1])))
    return [_group(*key, found[key], subjects) for key in ordered]


def row_of(records: Sequence[Accuracy], decade: int | None = None) -> Precision:
    """Merge records of one subject, dtype and reduction; `records` must not be empty."""
    worst = max(
        records,
        key=lambda record: (record.judged > 0, as_size(record.worst_ulps), as_size(record.worst_utilisation)),
    )
    ulps, levels = Counter[float](), Counter[str]()
    for record in records:
        for error, number in record.ulps.items():
            ulps[as_size(float(error))] += number
        levels.update(record.levels)
    return Precision(
        worst.subject,
        worst.dtype,
        worst.reduction,
        decade,
        sum(record.judged for record in records),
        sum(record.uninformative for record in records),
        sum(record.correctly_rounded for record in records),
        ulps,
        {
            level: levels[level]
            for level in sorted(levels, key=lambda level: _place(tuple(LADDER), level))
            if levels[level]
        },
        max(as_size(record.worst_ulps) for record in records),
        max((record.worst_relative for record in records if record.worst_relative is not None), default=None),
        max(as_size(record.worst_utilisation) for record in records),
        max(record.worst_depth for record in records),
        worst if worst.worst_call is not None else None,
        worst.outside,
    )


def _group(dtype: str, reduction: str, found: dict[tuple[str, str], list[Accuracy]], subjects: Sequence[str]) -> Group:
    ordered = [
        _with_decades(found[key]) for key in sorted(found, key=lambda key: (_place(tuple(subjects), key[0]), key[1]))
    ]
    rows = tuple(row for row in ordered if not row.outside)
    errors = [row.worst_ulps for row in rows if row.judged]
    low, high = min(errors, default=0.0), max(errors, default=0.0)
    return Group(
        dtype,
        reduction,
        rows,
        _standing_out(rows, low) if high >= 2 * low else (),
        _standing_out(rows, high) if high >= 2 * low else (),
        tuple(row for row in ordered if row.outside),
    )


def _with_decades(records: list[Accuracy]) -> Precision:
    decades = sorted({record.decade for record in records})
    parts = tuple(row_of([r for r in records if r.decade == decade], decade) for decade in decades)
    whole = row_of(records)
    return Precision(**{name: getattr(whole, name) for name in Precision.__slots__ if name != "decades"}, decades=parts)


def _standing_out(rows: Sequence[Precision], extreme: float) -> tuple[str, ...]:
    """Who reaches the extreme, unless more than a third do: then nobody stands out."""
    rows = [row for row in rows if row.judged]
    names = tuple(row.subject for row in rows if row.worst_ulps == extreme)
    return names if len(rows) > 1 and len(names) * 3 <= max(3, len(rows)) else ()


def _place(known: Sequence[str], name: str) -> tuple[int, str]:
    return (known.index(name) if name in known else len(known), name)
