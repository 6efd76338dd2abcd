"""The charts of the speed report, drawn and coloured as those of the accuracy section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from .bench import Bench
from .charts import DASHES, INK, MARK, SHAPES, altair_module, draw, hues, on_log_axis, powers, scale_of
from .ratios import Board, plain
from .speed import duration

_FOREST = 4  # points whose ratios are drawn


def time_by_size(boards: Sequence[Board], styled: dict[str, tuple[int, int]]) -> str | None:
    """Seconds against each size, forward, with the limit (stream) and the empty call; None without data."""
    alt = altair_module()
    usual = plain(boards)
    sizes = tuple(usual[0].point.sizes) if usual else ()
    lines = [point for name in sizes for point in _series(usual, name)]
    lines = [one for one in lines if on_log_axis(one["seconds"])]
    points = Counter((one["series"], one["axis"], one["threads"]) for one in lines)
    lines = [one for one in lines if points[one["series"], one["axis"], one["threads"]] > 1]
    if not lines:
        return None
    x = alt.X("size:Q", title=" or ".join(sizes), scale=alt.Scale(type="log"), axis=powers(alt, lines, "size"))
    y = alt.Y("seconds:Q", title="seconds a call", scale=alt.Scale(type="log"), axis=powers(alt, lines, "seconds"))
    data = alt.Data(values=lines)
    base = alt.Chart().encode(x, y, detail="series:N")
    shown = base.transform_filter("!datum.reference").encode(
        alt.Color("series:N", scale=hues(alt, styled), legend=None)
    )
    drawn = shown.mark_line(strokeWidth=1.5).encode(
        strokeDash=alt.StrokeDash("series:N", scale=scale_of(alt, styled, DASHES), legend=None), description="series:N"
    )
    marks = shown.mark_point(size=24, filled=True, opacity=1).encode(
        shape=alt.Shape("series:N", scale=scale_of(alt, styled, SHAPES), legend=None), description="text:N"
    )
    walls = base.transform_filter("datum.reference").mark_line(color=MARK, strokeWidth=2.5, opacity=0.6)
    walls = walls.encode(strokeDash=alt.StrokeDash("series:N", legend=None), description="series:N")
    header = alt.Header(title=None, labelFontWeight="bold", labelFontSize=12, labelColor=INK)
    chart = alt.layer(walls, drawn, marks, data=data).properties(width=430, height=300)
    chart = chart.facet(
        column=alt.Column("axis:N", header=header, sort=list(dict.fromkeys(one["axis"] for one in lines))),
        row=alt.Row("threads:N", header=header),
        spacing=16,
    )
    return draw(
        chart.resolve_scale(x="independent", strokeDash="independent"), f"Seconds a call against {' and '.join(sizes)}"
    )


def _series(boards: Sequence[Board], axis: str) -> list[dict[str, Any]]:
    """Those of the boards that differ from the first one along one axis alone, as data."""
    found: list[dict[str, Any]] = []
    fixed = _others(boards[0], axis)
    said = "".join(f", {name} = {size:,}" for name, size in fixed.items())
    for board in boards:
        if _others(board, axis) != fixed:
            continue
        common = {"axis": f"against {axis}{said}", "size": board.point.sizes[axis],
                  "threads": f"threads = {board.threads}"}  # fmt: skip
        times = {row.contestant: row.spread.median for row in board.rows} | board.slow
        walls = {"limit (stream)": board.stream, "empty call": board.empty}
        walls |= {f"limit (exponentials of {name})": taken for name, taken in board.exponentials.items()}
        for series, seconds in (times | walls).items():
            text = f"{series} · {board.point.name}: {duration(seconds)}"
            found.append(common | {"series": series, "seconds": seconds, "text": text, "reference": series in walls})
    return found


def _others(board: Board, axis: str) -> dict[str, int]:
    """The sizes but for that of one axis."""
    return {name: size for name, size in board.point.sizes.items() if name != axis}


def forest(boards: Sequence[Board], styled: dict[str, tuple[int, int]]) -> str | None:
    """Ratios to the baseline with their widened intervals, at the most telling points of the first table."""
    alt = altair_module()
    chosen = [one for one in boards if one.threads == boards[0].threads][:_FOREST] if boards else []
    data = [
        {
            "point": board.point.name,
            "series": row.contestant,
            "ratio": row.ratio.estimate,
            "low": row.ratio.wide_low,
            "high": row.ratio.wide_high,
            "text": f"{row.contestant} · {row.ratio.estimate:.3f} ({row.ratio.wide_low:.3f} to "
            f"{row.ratio.wide_high:.3f}) {row.claim}",
        }
        for board in chosen
        for row in board.rows
        if all(map(on_log_axis, (row.ratio.wide_low, row.ratio.estimate, row.ratio.wide_high)))
    ]
    if not data:
        return None
    axis = powers(alt, data, "ratio")
    rows = alt.Y("series:N", sort=alt.EncodingSortField("ratio", op="mean"), title=None, axis=names_axis(alt))
    colour = alt.Color("series:N", scale=hues(alt, styled), legend=None)
    scale = alt.Scale(type="log")
    base = alt.Chart()
    spans = base.mark_rule(strokeWidth=2).encode(
        alt.X("low:Q", scale=scale, axis=axis, title=f"time over {chosen[0].baseline}'s"), rows, colour, x2="high:Q",
        description="text:N",
    )  # fmt: skip
    dots = base.mark_point(filled=True, size=36, opacity=1).encode(
        alt.X("ratio:Q", scale=scale), rows, colour, description="text:N"
    )
    one = base.mark_rule(color=MARK, strokeDash=[3, 3]).encode(x=alt.datum(1.0))
    header = alt.Header(title=None, labelFontWeight="bold", labelFontSize=12, labelColor=INK)
    layers = alt.layer(one, spans, dots, data=alt.Data(values=data)).properties(width=380, height=alt.Step(15))
    names = list(dict.fromkeys(one["point"] for one in data))
    chart = layers.facet(facet=alt.Facet("point:N", header=header, sort=names), columns=2, spacing=18)
    return draw(chart.resolve_scale(y="independent", x="independent"), "Ratios with their intervals")


def names_axis(alt: Any) -> Any:
    """An axis of contestants with room for the longest name: a browser's letters may be wider than expected."""
    return alt.Axis(minExtent=165)


def cold(bench: Bench, styled: dict[str, tuple[int, int]]) -> str | None:
    """What a fresh process pays: the import, then the first call beyond the second one."""
    alt = altair_module()
    data: list[dict[str, Any]] = []
    for one in bench.cold:
        if one.process:
            continue
        for name, first in one.first.items():
            parts = {"import": one.import_seconds, "first call": max(0.0, first - one.second[name])}
            for order, (part, seconds) in enumerate(parts.items()):
                text = f"{name} · {part}: {duration(seconds)}"
                data.append({"series": name, "part": part, "seconds": seconds, "order": order, "text": text})
    if not data:
        return None
    chart = (
        alt.Chart(alt.Data(values=data))
        .mark_bar()
        .encode(
            alt.X("seconds:Q", title="seconds before the first result, stacked: import, then first call", stack="zero"),
            alt.Y(
                "series:N", sort=list(dict.fromkeys(one["series"] for one in data)), title=None, axis=names_axis(alt)
            ),
            alt.Color("series:N", scale=hues(alt, styled), legend=None),
            opacity=alt.Opacity(
                "part:N", scale=alt.Scale(domain=["import", "first call"], range=[0.35, 1]), legend=None
            ),
            order="order:Q",
            description="text:N",
        )
        .properties(width=700, height=alt.Step(16))
    )
    return draw(chart, "Cold costs")
