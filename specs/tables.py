"""Tables kept as TOML: arrays of rows, each checked against a frozen type, errors naming file, row and reason."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from .errors import LossparityError, nearest

Kind = TypeVar("Kind")


def load_table(
    text: str,
    key: str,
    kind: type[Kind],
    where: str,
    error: type[LossparityError],
    name: str = "id",
    common: Mapping[str, Kind] | None = None,
) -> list[Kind]:
    """The rows under `key` as `kind`; raises `error` for TOML, fields or duplicate names that are wrong.

    Where there are `common` rows, by name, a row `common = ["NAME", ...]` stands for some of them.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{where}: not TOML: {problem}") from problem
    if unknown := set(data) - {key}:
        raise error(f"{where}: unknown table {sorted(unknown)[0]!r}; rows stand under [[{key}]]")
    rows: dict[str, Kind] = {}
    for number, raw in enumerate(data.get(key, []), 1):
        label = f"{where}: row {number}"
        if common is not None and "common" in raw:
            found = _taken(raw, common, label, error)
        else:
            found = [_convert(raw, kind, f"{label} ({raw.get(name, 'without ' + name)})", error)]
        for row in found:
            own = getattr(row, name)
            if own in rows:
                raise error(f"{label} ({own}): {name} stands twice; every row needs one of its own")
            rows[own] = row
    return list(rows.values())


def _taken(raw: Any, common: Mapping[str, Kind], label: str, error: type[LossparityError]) -> list[Kind]:
    names = raw["common"]
    if set(raw) != {"common"} or not isinstance(names, list):
        raise error(f'{label}: a row that takes common ones holds nothing else: common = ["NAME", ...]')
    for name in names:
        if name not in common:
            raise error(f"{label}: {name!r} is none of the common ones; {nearest(str(name), common)}")
    return [common[name] for name in names]


def _convert(raw: Any, kind: type[Kind], label: str, error: type[LossparityError]) -> Kind:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as problem:
        raise error(f"{label}: {problem}") from problem
