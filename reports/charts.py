"""The charts of the accuracy section, as SVG to be inlined: no script, colours left to the style sheet."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from typing import Any

from . import engine
from .tolerance import Group, Precision

# Stand-ins for colours, replaced by CSS variables after drawing: one picture serves light, dark and print.
_SERIES = "#0000f{}"
INK, GRID, MARK, HEAT = "#0000e1", "#0000e2", "#0000e3", "#0000e4"
_VARIABLES = {INK: "var(--ink-2)", GRID: "var(--line)", MARK: "var(--ink-3)", HEAT: "var(--accent)"}
HUES = 8
DASHES = ([1, 0], [5, 2], [1.5, 2], [8, 2, 2, 2], [3, 3], [10, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")

_FLOOR = 0.1  # a logarithmic axis has no zero: errors below are drawn here
_CEILING = 1e300  # those above here: an axis that ends where float64 does is drawn as nothing
_LARGEST_BIN = 24


def styles(subjects: Sequence[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    """Hue by backend and dash by variant, for (subject, backend) pairs."""
    backends = list(dict.fromkeys(backend for _, backend in subjects))
    seen: dict[str, int] = {}
    styled = {}
    for subject, backend in subjects:
        styled[subject] = (backends.index(backend) % HUES, seen.get(backend, 0) % len(DASHES))
        seen[backend] = seen.get(backend, 0) + 1
    return styled


def error_by_size(groups: Sequence[Group], styled: dict[str, tuple[int, int]]) -> str | None:
    """Largest error found, in ulp, against size, one panel per reduction and dtype; None without data."""
    alt = altair_module()
    data = [
        point
        for group in groups
        if group.reduction != "none"
        for row in group.rows
        for decade in row.decades
        if (point := _point(decade)) is not None
    ]
    if not data:
        return None
    size = alt.X("size:Q", title="positions", scale=alt.Scale(type="log"), axis=powers(alt, data, "size"))
    error = alt.Y(
        "error:Q",
        title="ulp, largest found",
        scale=alt.Scale(type="log", domainMin=_FLOOR),
        axis=powers(alt, data, "error"),
    )
    base = alt.Chart().encode(
        size, error, alt.Color("subject:N", scale=hues(alt, styled), legend=None), detail="subject:N"
    )
    lines = base.mark_line(strokeWidth=1.6).encode(
        strokeDash=alt.StrokeDash("subject:N", scale=scale_of(alt, styled, DASHES), legend=None),
        description="subject:N",
    )
    points = base.mark_point(size=26, filled=True, opacity=1).encode(
        shape=alt.Shape("subject:N", scale=scale_of(alt, styled, SHAPES), legend=None), description="text:N"
    )
    half = alt.Chart().mark_rule(color=MARK, strokeDash=[2, 3]).encode(y=alt.datum(0.5))
    layers = alt.layer(half, lines, points, data=alt.Data(values=data)).properties(width=262, height=160)
    return draw(_facets(alt, layers, groups, skip="none"), "Largest error found against size")


def error_distribution(groups: Sequence[Group], subjects: Sequence[str]) -> str | None:
    """Share of judged results by error in ulp, one strip per subject, one panel per dtype and reduction."""
    alt = altair_module()
    data = [cell for group in groups for row in group.rows for cell in _shares(row)]
    if not data:
        return None
    # Every bin up to the largest is listed, so that a gap in the data is a gap in the picture.
    bins = [_bin_label(number) for number in range(max(cell["bin"] for cell in data) + 1)]
    axis = alt.Axis(
        labelAngle=0,
        labelOverlap=False,
        values=bins[:2] + bins[2 :: 1 if len(bins) < 14 else 2],
        labelFontSize=9.5,
    )
    strips = (
        alt.Chart(alt.Data(values=data))
        .mark_rect(color=HEAT, stroke=GRID, strokeWidth=0.5)
        .encode(
            alt.X("label:N", sort=bins, title="ulp, up to", scale=alt.Scale(domain=bins), axis=axis),
            alt.Y("subject:N", sort=list(subjects), title=None, scale=alt.Scale(domain=_present(data, subjects))),
            opacity=alt.Opacity(
                "share:Q",
                scale=alt.Scale(type="pow", exponent=0.35, domain=[0, 1], range=[0.04, 1]),
                legend=None,
            ),
            description="text:N",
        )
        .properties(width=248, height=alt.Step(15))
    )
    return draw(_facets(alt, strips, groups), "Distribution of errors in ulp")


def on_log_axis(number: float) -> bool:
    """Whether a logarithmic axis has a place for a number."""
    return 1 / _CEILING < number < _CEILING


def altair_module() -> Any:
    """Altair is slow to import and only drawing needs it."""
    import altair

    return altair


def _point(row: Precision) -> dict[str, Any] | None:
    if not row.judged or not math.isfinite(row.worst_ulps) or row.decade is None:
        return None
    size, error = 10**row.decade, min(_CEILING, max(_FLOOR, row.worst_ulps))
    text = f"{row.subject} · {row.title}, from {size:,} positions: {row.worst_ulps:.3g} ulp"
    return _facet(row) | {"subject": row.subject, "size": size, "error": error, "text": text}


def _shares(row: Precision) -> list[dict[str, Any]]:
    total, by_bin = row.ulps.total(), dict[int, int]()
    for error, number in row.ulps.items() if total else ():
        by_bin[_bin(error)] = by_bin.get(_bin(error), 0) + number
    return [
        _facet(row)
        | {"subject": row.subject, "bin": place, "label": _bin_label(place), "share": number / total}
        | {
            "text": f"{row.subject} · {row.title}, up to {_bin_label(place)} ulp: {number:,} ({number / total:.2%})",
        }
        for place, number in sorted(by_bin.items())
    ]


def _facet(row: Precision) -> dict[str, str]:
    return {"dtype": row.dtype, "reduction": row.reduction}


def _bin(error: float) -> int:
    """0 for no error, 1 up to half an ulp, then one bin for each doubling."""
    if error == 0:
        return 0
    return min(_LARGEST_BIN, max(1, 2 + math.ceil(math.log2(error)))) if math.isfinite(error) else _LARGEST_BIN


def _bin_label(place: int) -> str:
    if place < 2:
        return ("0", "½")[place]
    if place == _LARGEST_BIN:
        return "more"
    return str(2 ** (place - 2)) if place < 9 else f"2{_raised(place - 2)}"


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _present(data: list[dict[str, Any]], subjects: Sequence[str]) -> list[str]:
    found = {cell["subject"] for cell in data}
    return [subject for subject in subjects if subject in found]


def powers(alt: Any, data: list[dict[str, Any]], field: str) -> Any:
    """An axis with a tick per power of ten, or per few of them where there are many; only those that a float64 is."""
    low = max(sys.float_info.min_10_exp, math.floor(math.log10(min(point[field] for point in data))))
    high = min(sys.float_info.max_10_exp, math.ceil(math.log10(max(point[field] for point in data))))
    step = max(1, (high - low) // 5)
    ticks = [10.0**power for power in range(low, high + 1, step)]
    labels = [f"{tick:g}" if tick < 10_000 else f"10{_raised(round(math.log10(tick)))}" for tick in ticks]
    return alt.Axis(values=ticks, labelExpr=f"{labels}[indexof({ticks}, datum.value)]")


def hues(alt: Any, styled: dict[str, tuple[int, int]]) -> Any:
    return alt.Scale(domain=list(styled), range=[_SERIES.format(hue) for hue, _ in styled.values()])


def scale_of(alt: Any, styled: dict[str, tuple[int, int]], marks: Sequence[Any]) -> Any:
    return alt.Scale(domain=list(styled), range=[marks[variant] for _, variant in styled.values()])


def _facets(alt: Any, chart: Any, groups: Sequence[Group], skip: str = "") -> Any:
    dtypes = list(dict.fromkeys(group.dtype for group in groups))
    reductions = list(dict.fromkeys(group.reduction for group in groups if group.reduction != skip))
    header = alt.Header(title=None, labelFontWeight="bold", labelFontSize=12, labelColor=INK, labelPadding=4)
    rows = alt.Header(title=None, labelFontWeight="bold", labelFontSize=12, labelColor=INK, labelAngle=-90)
    return chart.facet(
        column=alt.Column("dtype:N", sort=dtypes, header=header),
        row=alt.Row("reduction:N", sort=reductions, header=rows),
        spacing=14,
    )


def draw(chart: Any, label: str) -> str:
    """Render to SVG, then hand colours to the style sheet and give every mark its text as a tooltip."""
    axis = {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": GRID,
        "domainColor": GRID,
        "tickColor": GRID,
    }
    axis |= {"titleFontWeight": "normal", "labelFontSize": 10.5, "titleFontSize": 11}
    look: dict[str, Any] = {
        "background": "transparent",
        "axis": axis,
        "view": {"stroke": GRID},
        "font": "sans-serif",
    }
    svg = engine.svg(chart.configure(**look).to_dict())
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    svg = re.sub(r"#0000f(\d)", r"var(--s\1)", svg)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    svg = re.sub(r' aria-label="(?:X|Y)-axis[^"]*"', "", svg)
    return re.sub(
        r'<path aria-label="([^"·]+)((?: ·)?[^"]*)" role="graphics-symbol"'
        r' aria-roledescription="[^"]*"([^>]*)/>',
        _titled,
        svg,
    )


def _titled(mark: re.Match[str]) -> str:
    series, rest = mark[1].strip(), mark[2]
    return f'<path data-series="{series}"{mark[3]}><title>{series}{rest}</title></path>'
