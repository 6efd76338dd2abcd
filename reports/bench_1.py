"""Bench files of format 1, which knew nll_loss alone: what their points are now."""

from __future__ import annotations

from typing import Any

import msgspec

from ..specs.speed import Point

LOSS = "nll_loss"


class _Point(msgspec.Struct, frozen=True):
    """A point as it was written."""

    n: int
    classes: int
    spatial: tuple[int, ...]
    dtype: str
    reduction: str
    work: str
    weighted: bool
    ignored: float
    order: str
    layout: str

    def now(self) -> Point:
        """The point that it is now, under the same name."""
        return Point(
            loss=LOSS,
            sizes={"N": self.n, "C": self.classes} | {f"d{k}": length for k, length in enumerate(self.spatial, 1)},
            dtype=self.dtype,
            work=self.work,
            choices={
                "reduction": self.reduction,
                "weighted": self.weighted,
                "ignored": self.ignored,
                "order": self.order,
                "layout": self.layout,
            },
            name=self._name(),
        )

    def _name(self) -> str:
        parts = [self.work, f"N={self.n}", f"C={self.classes}", self.dtype, self.reduction]
        parts += [f"D={'x'.join(map(str, self.spatial))}"] if self.spatial else []
        parts += ["weights"] if self.weighted else []
        parts += [f"{self.ignored:.0%} ignored"] if self.ignored else []
        parts += [f"{self.order} targets"] if self.order != "random" else []
        parts += [self.layout] if self.layout != "c" else []
        return " ".join(parts)


def renewed(line: dict[str, Any]) -> dict[str, Any]:
    """A line of such a file, as format 2 would have it; raises msgspec.ValidationError for what is none."""
    if line.get("type") != "measured":
        return line
    return line | {"point": msgspec.to_builtins(msgspec.convert(line.get("point"), _Point).now())}
