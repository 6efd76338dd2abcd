"""A second loss, to be read in five minutes: mean squared error, exact in fractions. What is generic is tested on it.

none: (x - t)^2 of each element; sum and mean of those. The gradient by x is 2 g (x - t), over n for a mean, and that by
t its negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from lossparity.specs.bands import Band
from lossparity.specs.call import (
    FLOAT_DTYPES,
    REDUCTIONS,
    Array,
    Call,
    Option,
    Parameter,
    Signature,
    Transform,
    dtype_of,
)  # fmt: skip
from lossparity.specs.case import (
    Case,
    Expectation,
    Limit,
    Raises,
    Returns,
    Unjudgeable,
    Unspecified,
    Within,
)  # fmt: skip
from lossparity.specs.domain import Domain
from lossparity.specs.exact import FORMATS, ExactSum, Format, exact_sum, round_to
from lossparity.specs.facts import CallFacts
from lossparity.specs.loss import Draw, Exploration, Family, Loss, Probes
from lossparity.specs.reductions import REQUIRED, WIDE, Arithmetic, Reduction
from lossparity.specs.relations import Comparison, Evaluate, same
from lossparity.specs.rules import Rules
from lossparity.specs.speed import Point, Speed, dense

TOY = Signature(
    "toy_mse",
    (Parameter("input", "x", differentiable=True), Parameter("target", "t", differentiable=True)),
    (Option("reduction", "mean", REDUCTIONS),),
)
MEANINGS = {"dtype": "name of input's dtype", "reduction": "none, sum or mean", "kind": "what is asked for"}


class Facts(CallFacts):
    """What a selector may name."""

    meanings = MEANINGS

    @property
    def reduction(self) -> str:
        """none, sum or mean."""
        return str(self.call["reduction"])


def _clause(id: str, family: str, judges: str, flag: str, statement: str) -> str:
    words = {"id": id, "level": "MUST", "statement": statement, "source": "toy"}
    lists = {"judges": judges.split(), "flags": [flag], "families": [family]}
    return "\n".join(["[[clause]]", *(f"{name} = {value!r}" for name, value in (words | lists).items())])


RULES = Rules(texts={
    "clauses.toml": "\n".join([
        _clause("SHAPE-1", "value", "shape", "Formula", "none returns the arrays' shape, sum and mean a 0-d value."),
        _clause("VALUE-1", "value", "value accuracy", "Formula", "none is the squared difference."),
        _clause("VALUE-2", "value", "value accuracy", "Formula", "sum adds the squared differences up."),
        _clause("VALUE-3", "value", "value accuracy", "Divisor", "mean divides their sum by the number of elements."),
        _clause("GRAD-1", "gradient", "value accuracy", "Formula", "the gradient by input is 2 (x - t)."),
        _clause("GRAD-2", "gradient", "value accuracy", "Sign", "the gradient by target is its negative."),
        _clause("ERR-1", "error", "raises", "Broadcast", "input and target of different shapes are an error."),
        _clause("REL-1", "relation", "relation", "Sign", "input and target may change places."),
        '[[clause]]\ncommon = ["DTYPE-1", "PURE-1", "PURE-2", "PURE-3", "PURE-4"]',
    ]),
    "flags.toml": "\n".join(
        f'[[flag]]\nname = "{name}"\nfault = "{fault}"\neffect = "Wrong."\nseen_in = ["toys"]'
        for name, fault in {"Formula": "Another formula.", "Divisor": "Divides by something else.",
                            "Sign": "A sign is lost.", "Broadcast": "Broadcasts what does not fit."}.items()
    ),
})  # fmt: skip


# --- the exact answer ------------------------------------------------------------------------------------


def expect(call: Call) -> Expectation:
    """What must come of a call."""
    x, t, shape = call["input"], call["target"], call["input"].shape
    if x.shape != t.shape:
        return Raises(frozenset({"shape"}))
    if call["reduction"] not in REDUCTIONS:
        return Raises(frozenset({"value"}))
    fmt, flat = FORMATS[call.dtype], zip(x.reshape(-1).tolist(), t.reshape(-1).tolist(), strict=True)
    pairs = [(float(a), float(b)) for a, b in flat]
    if not all(map(math.isfinite, sum(pairs, ()))):
        return Unspecified("SHAPE-1")
    differences = [Fraction(a) - Fraction(b) for a, b in pairs]
    if call.transform is not None:
        return Returns(shape, call.dtype, _gradient(call, fmt, differences))
    if call["reduction"] == "none":
        return Returns(shape, call.dtype, _within(fmt, shape, [d * d for d in differences], _squares(differences)))
    return Returns((), call.dtype, _reduced(call, fmt, differences))


def _squares(differences: list[Fraction]) -> Callable[[Format, bool], list[Fraction]]:
    """(x - t)^2 is off by two roundings of the difference, one of the square, and what is lost to underflow."""

    def bounds(q: Format, flush: bool) -> list[Fraction]:
        lost = 3 * q.smallest_normal if flush else Fraction(0)  # x, t and their difference may be read as 0
        relative = (1 + Fraction(q.u)) ** 3 - 1
        tiny = q.smallest_normal if flush else q.smallest_subnormal
        return [relative * (abs(d) + lost) ** 2 + (2 * abs(d) + lost) * lost + tiny for d in differences]

    return bounds


def _within(
    fmt: Format, shape: tuple[int, ...], exact: list[Fraction], bounds: Callable[[Format, bool], list[Fraction]]
) -> Within:
    def band(q: Format, flush: bool) -> Band:
        final = Fraction(fmt.u) if q.t > fmt.t else Fraction(0)
        tiny = fmt.smallest_normal if flush else fmt.smallest_subnormal
        errors = [b + final * (abs(e) + b) + tiny for e, b in zip(exact, bounds(q, flush), strict=True)]
        lines = [None if abs(e) + 2 * b > q.largest else b for e, b in zip(exact, errors, strict=True)]
        flat = Band.around(exact, lines, fmt)
        return Band(*(part.reshape(shape) for part in (flat.low, flat.high, flat.free)))

    required = REQUIRED[fmt.name]
    rounded = np.array([round_to(e, fmt) for e in exact]).astype(dtype_of(fmt.name)).reshape(shape)
    return Within(rounded, band(required, False), band(fmt, False), band(required, True), np.ones(shape, bool))


def _reduced(call: Call, fmt: Format, differences: list[Fraction]) -> Reduction | Limit:
    n, squares = len(differences), [d * d for d in differences]
    if not n:
        return Limit(frozenset({"nan" if call["reduction"] == "mean" else "0"}))
    total, bounds = sum(squares, Fraction(0)), _squares(differences)
    inherited = {q.name: sum(bounds(q, False), Fraction(0)) for q in (fmt, WIDE[fmt.name], REQUIRED[fmt.name])}
    lost = sum(
        (with_ - without for with_, without in zip(*(bounds(fmt, flush) for flush in (True, False)), strict=True))
    )
    count = exact_sum(np.array([float(n)])) if call["reduction"] == "mean" else None
    return Reduction(fmt, n, n, False, ExactSum(-total, total, 0), count, float(lost) * 2, 0.0, inherited)


def _gradient(call: Call, fmt: Format, differences: list[Fraction]) -> Within | Unjudgeable:
    transform = call.transform
    if transform is None or transform.kind != "gradient" or transform.upstream is None:
        return Unjudgeable("the toy knows gradients only")
    share = len(differences) if call["reduction"] == "mean" else 1
    sign = -2 if call.wrt == "target" else 2
    g = [Fraction(float(one)) for one in np.broadcast_to(transform.upstream, call["input"].shape).reshape(-1)]
    exact = [sign * one * d / share for one, d in zip(g, differences, strict=True)]

    def bounds(q: Format, flush: bool) -> list[Fraction]:
        tiny, relative = (q.smallest_normal if flush else q.smallest_subnormal), (1 + Fraction(q.u)) ** 5 - 1
        sizes = (1 + 2 * abs(one) + 2 * abs(d) + abs(e) for one, d, e in zip(g, differences, exact, strict=True))
        return [relative * abs(e) + 6 * tiny * size for e, size in zip(exact, sizes, strict=True)]

    return _within(fmt, call["input"].shape, exact, bounds)


# --- cases -----------------------------------------------------------------------------------------------


def case_of(call: Call, family: str, tier: int, origin: str, also: tuple[str, ...] = ()) -> Case:
    """The case of a call."""
    expectation = expect(call)
    if isinstance(expectation, Raises):
        ids: tuple[str, ...] = ("ERR-1",)
    elif call.transform is not None:
        ids = ("GRAD-2" if call.wrt == "target" else "GRAD-1",)
    else:
        ids = ("SHAPE-1", f"VALUE-{1 + [*REDUCTIONS].index(call['reduction'])}", "DTYPE-1")
    ids = tuple(dict.fromkeys((*ids, *also)))
    return Case(call, Facts(call), expectation, ids, RULES.flags_of(ids), family, tier, origin, rules=RULES)


def numbers(dtype: str, shape: tuple[int, ...], seed: int) -> tuple[Array, Array]:
    """Two arrays of ordinary numbers."""
    rng = np.random.default_rng([seed, len(shape), *shape])
    return tuple(rng.normal(size=shape).astype(dtype_of(dtype)) for _ in range(2))  # pyright: ignore[reportReturnType]


def _values(draw: Draw) -> Iterator[Call]:
    for shape in ((3,), (), (2, 5), (40,), (0,)):
        for reduction in REDUCTIONS:
            yield TOY.call(*numbers(draw.dtype, shape, draw.seed), reduction)


def _gradients(draw: Draw) -> Iterator[Call]:
    for wrt in ("", "target"):
        for call in _values(draw):
            shape = call["input"].shape if call["reduction"] == "none" else ()
            if call["input"].size:
                yield call.replace(transform=Transform("gradient", numbers(draw.dtype, shape, 1)[0], wrt=wrt))


def _misfits(draw: Draw) -> Iterator[Call]:
    for shapes in (((3,), (4,)), ((2, 3), (3,)), ((1,), (3,))):
        yield TOY.call(*(np.ones(shape, dtype_of(draw.dtype)) for shape in shapes))


def _family(name: str, calls: Callable[[Draw], Iterable[Call]], *experiments: str, explored: Any = None) -> Family:
    def cases(draw: Draw) -> Iterator[Case]:
        for call in calls(draw):
            case = case_of(call, name, 1, f"corpus {name}/{draw.dtype}")
            yield from (case.in_experiment(id) for id in experiments) if experiments else (case,)

    return Family(cases=cases, explored=explored)


def _explored(draw: Draw) -> Exploration:
    from hypothesis import strategies as st

    number = st.floats(-8, 8, width=16)
    drawn = st.tuples(st.lists(st.tuples(number, number), min_size=1, max_size=6), st.sampled_from(REDUCTIONS))

    def cases(found: Any) -> Iterator[Case]:
        pairs, reduction = found
        x, t = (np.array(column).astype(dtype_of(draw.dtype)) for column in zip(*pairs, strict=True))
        yield case_of(TOY.call(x, t, reduction), "value", draw.tier, f"exploration value/{draw.dtype}")

    return Exploration(drawn, cases)


def _swapped(run: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    apart = call.replace(reduction="none")
    yield same("with input and target in each other's place", run(apart),
               run(apart.replace(input=call["target"], target=call["input"])))  # fmt: skip


def _agreeing(one: Evaluate, other: Evaluate, call: Call, arithmetic: Arithmetic) -> Iterator[Comparison]:
    return iter(())


def _powers(exponent_of: Callable[[Format], int]) -> Callable[[str, Domain], Iterator[Case]]:
    """Squares of a power of two."""

    def cases(dtype: str, domain: Domain) -> Iterator[Case]:
        x = np.array([2.0 ** exponent_of(FORMATS[dtype])]).astype(dtype_of(dtype))
        yield case_of(TOY.call(x, np.zeros_like(x), "none"), "value", 1, f"probe {dtype}")

    return cases


def shape(call: Call) -> tuple[int, ...]:
    """That of the loss."""
    return call["input"].shape if call["reduction"] == "none" else ()


def axes(call: Call) -> dict[str, tuple[str, ...]]:
    """N, d1, d2, ..."""
    if call["input"].shape != call["target"].shape:
        return {}
    names = tuple(["N", *(f"d{number}" for number in range(1, 9))][: call["input"].ndim])
    upstream = names if call["reduction"] == "none" else ()
    return {"input": names, "target": names, "upstream": upstream, "direction": names}


def _points() -> Iterator[Point]:
    yield from (Point(loss=TOY.loss, sizes={"N": n}, work="forward", choices={"reduction": "mean"}) for n in (1024, 64))


def _timed(point: Point, seed: int) -> Call:
    return TOY.call(*numbers(point.dtype, (point.sizes["N"],), seed), point.choices["reduction"])


LOSS = Loss(
    signature=TOY,
    rules=RULES,
    facts=MEANINGS,
    families={
        "value": _family("value", _values, explored=_explored),
        "gradient": _family("gradient", _gradients),
        "error": _family("error", _misfits),
        "purity": _family("purity", lambda draw: [*_values(draw)][:3], "PURE-1", "PURE-2", "PURE-3", "PURE-4"),
        "relation": _family("relation", lambda draw: [*_values(draw)][:1], "REL-1"),
        "dtype": _family("dtype", _values),
    },
    case_of=case_of,
    shape=shape,
    axes=axes,
    varied=lambda call: call.replace(input=call["input"] * call["input"].dtype.type(2)),
    simpler=lambda call: iter(()),
    probes=Probes(_powers(lambda fmt: fmt.emin // 2 - 1), _powers(lambda fmt: fmt.emin // 2)),
    agreeing=_agreeing,
    relations={"REL-1": _swapped},
    speed=Speed(points=_points, call_of=_timed, traffic=dense(shape), cold=next(_points())),
)
assert set(FLOAT_DTYPES) == set(FORMATS)
