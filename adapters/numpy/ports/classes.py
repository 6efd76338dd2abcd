"""What the ports of losses over classes share: which positions are kept, and which arguments fit together."""

import operator

import numpy as np

REDUCTIONS = ("none", "mean", "sum")

# Half precision is summed in float32: a float16 sum of ones stops growing at 2048. Looking types up by name
# admits `ml_dtypes.bfloat16` without importing it, and rejects integers, bool, complex and long double. The name
# is the type's: `dtype.name` is put together in Python on each call, which costs more than a small sum.
ACCUMULATOR = {"float16": np.float32, "bfloat16": np.float32, "float32": np.float32, "float64": np.float64}


def select(t: np.ndarray, classes: int, ignore_index: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the positions in t.reshape(-1) that are not ignored (None: all), and their targets, in [0, classes)."""
    targets = t.reshape(-1)
    low, high = (targets.min(), targets.max()) if t.size else (0, -1)
    if low >= 0 and high < classes and not low <= ignore_index <= high:
        return None, targets  # nothing is ignored: spare the mask and the copies
    kept = np.flatnonzero(targets != ignore_index)  # numbers: a mask would be searched again by each use of it
    chosen = targets[kept]
    invalid = (chosen < 0) | (chosen >= classes)
    if invalid.any():
        first = kept[invalid.argmax()]
        position = [int(i) for i in np.unravel_index(first, t.shape)] if t.ndim else ""
        value = targets[first]
        raise IndexError(
            f"target{position} is {value}, neither a class, in [0, {classes}), nor ignore_index "
            f"({ignore_index}); correct the target, or pass ignore_index={value} to leave such positions out"
        )
    return kept, chosen


def spread(losses: np.ndarray, t: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    """Return the losses of the positions that are kept in the shape of the target, 0 at the others."""
    if kept is None:
        return losses.reshape(t.shape)
    full = np.zeros(t.size, losses.dtype)
    full[kept] = losses
    return full.reshape(t.shape)


def as_int(ignore_index: int) -> int:
    """Return a Python integer, which NumPy compares by value: a uint8 target of 156 then is not -100."""
    try:
        return operator.index(ignore_index)
    except TypeError:
        raise TypeError(f"ignore_index is {ignore_index!r}; pass an integer, for instance -100") from None


def check(x: np.ndarray, t: np.ndarray, w: np.ndarray | None, reduction: str, probabilities: bool = False) -> None:
    """Raise TypeError or ValueError unless dtypes, shapes and the reduction fit together.

    With `probabilities` the target may also be of the input's dtype, and has its shape then.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; use one of {', '.join(map(repr, REDUCTIONS))}")
    if x.dtype.type.__name__ not in ACCUMULATOR:
        raise TypeError(f"input has dtype {x.dtype}; convert it to one of {', '.join(ACCUMULATOR)}")
    probabilities = probabilities and t.dtype == x.dtype
    if not probabilities and t.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {t.dtype}; use an integer dtype, for instance int64")
    if x.ndim == 0:
        raise ValueError("input is 0-d; it needs a class axis: (C,), (N, C) or (N, C, d1, ..., dK)")
    expected = x.shape if probabilities else x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if t.shape != expected:
        raise ValueError(f"target has shape {t.shape}; input of shape {x.shape} needs a target of {expected}")
    if w is None:
        return
    if w.dtype != x.dtype:
        raise TypeError(f"weight has dtype {w.dtype} and input {x.dtype}; they must be equal")
    classes = x.shape[min(1, x.ndim - 1)]
    if w.shape != (classes,):
        raise ValueError(f"weight has shape {w.shape}; input of shape {x.shape} needs ({classes},), one per class")
