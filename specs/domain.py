"""What a function is for: a part of a loss's calls, as plain data over any signature."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .call import FLOAT_DTYPES, TARGET_DTYPES, Call, dtype_name
from .errors import UsageError

_CONSTANTS = {"True": True, "False": False, "None": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Which calls of a loss are asked for; without anything said, all.

    `dtypes` are those of the main array and `targets` those of indices of classes, `ranks` the axes that the main array
    may have. `choices` says of an option which values it takes, `absent` names optional arrays that are never given and
    options that stay as they are when left out. Without `empty` no array is without elements, without `unbatched` the
    main array has more than one axis. `spared` are features of adapters, such as "gradient", that are not asked for.
    """

    dtypes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    ranks: tuple[int, ...] = ()
    choices: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    absent: tuple[str, ...] = ()
    empty: bool = True
    unbatched: bool = True
    spared: tuple[str, ...] = ()

    def holds(self, call: Call, used: Callable[[Call], Collection[str]]) -> bool:
        """Whether a call is in the domain; `used` tells which arguments that may be left out matter to it.

        What is illegal whoever is asked, such as a reduction that does not exist, is no reason against it.
        """
        if not self.is_narrow:
            return True
        return (
            self._takes_dtypes(call)
            and self.takes_rank(_rank(call))
            and all(self._takes_value(call, name, values) for name, values in self.choices)
            and (self.empty or all(array.size for _, array in call.arrays()))
            and not (self.absent and set(self.absent).intersection(used(call)))
        )

    def _takes_dtypes(self, call: Call) -> bool:
        own = call.dtype
        if self.dtypes and own in FLOAT_DTYPES and own not in self.dtypes:
            return False
        wanted = (dtype_name(array.dtype) for array in call.classes()) if self.targets else ()
        return all(dtype in self.targets for dtype in wanted if dtype in TARGET_DTYPES)

    @staticmethod
    def _takes_value(call: Call, name: str, values: tuple[Any, ...]) -> bool:
        value, known = call[name], next(one.choices for one in call.signature.options if one.name == name)
        return value in values or bool(known) and value not in known

    def takes_rank(self, rank: int) -> bool:
        """Whether the main array may have so many axes."""
        return (not self.ranks or rank in self.ranks) and (self.unbatched or rank != 1)

    def takes_shape(self, shape: Sequence[int]) -> bool:
        """Whether the main array may have this shape."""
        return self.takes_rank(len(shape)) and (self.empty or 0 not in shape)

    def values(self, name: str, known: tuple[Any, ...]) -> tuple[Any, ...]:
        """Which of the `known` values an option may have."""
        allowed = dict(self.choices).get(name)
        return known if allowed is None else tuple(value for value in known if value in allowed)

    @property
    def is_narrow(self) -> bool:
        """Whether anything is left out."""
        return self != EVERYTHING

    @property
    def is_small(self) -> bool:
        """Whether calls are left out by more than their dtypes and by what is asked besides the value."""
        return bool(self.ranks or self.choices or self.absent) or not (self.empty and self.unbatched)

    @property
    def words(self) -> tuple[str, ...]:
        """The domain in words that `of_words` reads."""
        ranks = (f"{rank}-d" for rank in self.ranks)
        choices = (f"{name}={'/'.join(map(str, values))}" for name, values in self.choices)
        absent = (f"no {name}" for name in self.absent)
        beside = [_EMPTY] * (not self.empty) + [_UNBATCHED] * (not self.unbatched)
        spared = (f"without {name}" for name in self.spared)
        return (*self.dtypes, *self.targets, *ranks, *choices, *absent, *beside, *spared)

    @property
    def said(self) -> str:
        """The domain in words for people, empty where it is everything."""
        ranks = f"{_either([f'{rank}-d' for rank in self.ranks])} input" if self.ranks else ""
        parts = (
            _either(self.dtypes) if self.dtypes or not self.is_narrow else "every dtype",
            ranks,
            f"{_either(self.targets)} targets" if self.targets else "",
            *(f"{name} {_either(list(map(str, values)))}" for name, values in self.choices),
            *(f"no {name}" for name in self.absent),
            "" if self.empty else _EMPTY,
            "" if self.unbatched else _UNBATCHED,
            *(f"without {name}" for name in self.spared),
        )
        return ", ".join(filter(None, parts))

    def parts(self) -> Iterator[tuple[str, Domain]]:
        """What was left out, one option of the command line after another, each with the domain that is without it."""
        for option, field in (("dtypes", "dtypes"), ("targets", "targets"), ("ranks", "ranks")):
            if values := getattr(self, field):
                yield f"--{option} {','.join(map(str, values))}", dataclasses.replace(self, **{field: ()})
        for name, values in self.choices:
            rest = tuple(one for one in self.choices if one[0] != name)
            yield f"--only {name}={','.join(map(str, values))}", dataclasses.replace(self, choices=rest)
        for name in self.absent:
            rest = tuple(one for one in self.absent if one != name)
            yield f"--no {name}", dataclasses.replace(self, absent=rest)
        if not self.empty:
            yield "--no-empty", dataclasses.replace(self, empty=True)
        if not self.unbatched:
            yield "--no-unbatched", dataclasses.replace(self, unbatched=True)
        for name in self.spared:
            rest = tuple(one for one in self.spared if one != name)
            yield f"--without '{name}'", dataclasses.replace(self, spared=rest)


EVERYTHING = Domain()
_EMPTY, _UNBATCHED = "no empty arrays", "no 1-d input"


def of_words(words: Sequence[str]) -> Domain:
    """The domain that `Domain.words` put into words; raises UsageError for a word that is none of those."""
    found: dict[str, Any] = {name: [] for name in ("dtypes", "targets", "ranks", "choices", "absent", "spared")}
    flags: dict[str, Any] = {}
    for word in words:
        first, _, rest = word.partition(" ")
        name, sign, values = word.partition("=")
        if word in (_EMPTY, _UNBATCHED):
            flags["empty" if word == _EMPTY else "unbatched"] = False
        elif word in FLOAT_DTYPES:
            found["dtypes"].append(word)
        elif word in TARGET_DTYPES:
            found["targets"].append(word)
        elif word.endswith("-d") and word[:-2].isdecimal():
            found["ranks"].append(int(word[:-2]))
        elif first in ("no", "without") and rest:
            found["absent" if first == "no" else "spared"].append(rest)
        elif sign:
            found["choices"].append((name, tuple(map(value_of, values.split("/")))))
        else:
            raise UsageError(f"{word!r} says nothing about a domain")
    return Domain(**{name: tuple(values) for name, values in found.items()}, **flags)


def value_of(text: str) -> Any:
    """The value of an option that a text stands for: a number, True, False, None, or the text itself."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def used(call: Call) -> frozenset[str]:
    """Arguments that a caller could not leave out of a call: optional arrays, and options that are not as usual."""
    arrays = (one.name for one in call.signature.arrays if one.optional and one.name in call.given)
    return frozenset((*arrays, *(one.name for one in call.signature.options if call[one.name] != one.default)))


def _rank(call: Call) -> int:
    """The axes of the main array, as the function sees them: less the one that is mapped over."""
    name = call.signature.main or next(iter(call.given))
    batched = call.transform is not None and name in call.transform.batched
    return int(call.given[name].ndim) - batched


def _either(words: Sequence[str]) -> str:
    return " or ".join(words)
