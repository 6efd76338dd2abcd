"""Tables kept as TOML: arrays of rows, each checked against a frozen type, errors naming file, row and reason."""

from __future__ import annotations

import tomllib
from typing import Any, TypeVar

import msgspec

from .errors import LossparityError

Kind = TypeVar("Kind")


def load_table(
    text: str, key: str, kind: type[Kind], where: str, error: type[LossparityError], name: str = "id"
) -> list[Kind]:
    """The rows under `key` as `kind`; raises `error` for TOML, fields or duplicate names that are wrong."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{where}: not TOML: {problem}") from problem
    if unknown := set(data) - {key}:
        raise error(f"{where}: unknown table {sorted(unknown)[0]!r}; rows stand under [[{key}]]")
    rows: list[Kind] = []
    seen: set[str] = set()
    for number, raw in enumerate(data.get(key, []), 1):
        label = f"{where}: row {number} ({raw.get(name, 'without ' + name)})"
        rows.append(_convert(raw, kind, label, error))
        if raw[name] in seen:
            raise error(f"{label}: {name} stands twice; every row needs one of its own")
        seen.add(raw[name])
    return rows


def _convert(raw: Any, kind: type[Kind], label: str, error: type[LossparityError]) -> Kind:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as problem:
        raise error(f"{label}: {problem}") from problem
