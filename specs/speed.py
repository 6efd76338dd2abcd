"""What a loss says so that `lossparity bench` can time it: points of a sweep, their calls, and what those take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
from msgspec.structs import force_setattr

from .call import Array, Call, dtype_of

LINE = 64  # bytes that a CPU's caches move at once
SECTOR = 32  # and those of an accelerator by NVIDIA

Choice = str | int | float | bool


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What is timed: sizes and every choice that may matter to speed.

    `sizes` are those of the main array's axes, in their order and under the names that `Loss.axes` has for them;
    `work` is "forward", "backward" or "both". `name` is what tells a point from all others of its loss, for people and
    as a key; it is made of everything else unless it is given.
    """

    loss: str
    sizes: dict[str, int]
    dtype: str = "float32"
    work: str = "forward"
    choices: dict[str, Choice] = {}
    name: str = ""

    def __post_init__(self) -> None:
        """Make a name."""
        if not self.name:
            sizes = (f"{name}={size}" for name, size in self.sizes.items())
            said = filter(None, (_in_words(name, choice) for name, choice in self.choices.items()))
            force_setattr(self, "name", " ".join((self.work, *sizes, self.dtype, *said)))

    def __hash__(self) -> int:
        """By the name, as dictionaries have none."""
        return hash((self.loss, self.name))

    @property
    def nbytes(self) -> int:
        """Bytes of the main array."""
        return math.prod(self.sizes.values()) * dtype_of(self.dtype).itemsize


def _in_words(name: str, choice: Choice) -> str:
    match choice:
        case bool():
            return name if choice else ""
        case str():
            return choice
        case _:
            return f"{name} {choice:g}"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has to be done at least: bytes that are read and written, and exponentials that are computed.

    `lines` says how many lines of the main array are read among the bytes.
    """

    read: int
    written: int
    lines: int
    exponentials: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Speed:
    """How a loss is timed.

    `points` are the sweep, the most telling ones first: the budget decides how many are timed. `call_of` is the call of
    a point, its arrays drawn with a seed and no Transform: where a gradient is timed, too, the upstream gradient is
    ones. `traffic` is what a legal call takes in one kind of work, with lines of so many bytes.

    `cold` is the point of which the first calls of a fresh process are timed, `memory` are those at which the memory of
    a call is measured: large ones, beside which all else that a process holds is nothing. `copies` is how many arrays
    as large as the main one live at once, all frameworks and the gradient counted. `asks` tells which parts of a call
    that a baseline may lack (Baseline.lacks) a point has, but for the gradient. `offsets` are bytes from the main
    array's first element to each one that the loss reads; a loss that picks out some of them says so, and is compared
    with a gather of them. Without it the loss is one that reads all of the array.
    """

    points: Callable[[], Iterable[Point]]
    call_of: Callable[[Point, int], Call]
    traffic: Callable[[Call, str, int], Traffic]
    cold: Point
    memory: tuple[Point, ...] = ()
    copies: int = 6
    asks: Callable[[Point], Iterable[str]] = lambda point: ()
    offsets: Callable[[Call], Array] | None = None


def dense(
    shape: Callable[[Call], tuple[int, ...]], exponentials: Callable[[Call], int] = lambda call: 0
) -> Callable[[Call, str, int], Traffic]:
    """The traffic of a loss that reads all of its arrays in any work; `shape` is that of its value (Loss.shape).

    The loss writes its value; the gradient reads one as large and writes an array as large as the main one. The
    exponentials are those of the value: a gradient may have been handed them.
    """

    def traffic(call: Call, work: str, line: int) -> Traffic:
        main = call[call.signature.main]
        result = main.itemsize
        for length in shape(call):
            result *= length
        read, written = sum(array.nbytes for array in call.given.values()), 0
        if work != "backward":
            written += result
        if work != "forward":
            read += result
            written += main.nbytes
        return Traffic(read, written, -(-main.nbytes // line), exponentials(call) if work != "backward" else 0)

    return traffic
