"""No correct log_softmax or cross-entropy is outside its bands, and planted faults are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lossparity.specs.call import Array, dtype_of
from lossparity.specs.case import Within
from lossparity.specs.tracked.answers import within
from lossparity.specs.tracked.number import stored, take, total

from . import formulas as f
from . import honest
from .hard_logits import hard_logits

HALVES = ("float16", "bfloat16")
DTYPES = (*HALVES, "float32", "float64")


def due(x: Array) -> Within:
    return within(lambda ev: stored(f.log_softmax(ev.number(x))), x.dtype.name, x.shape)


def is_inside(answer: Within, made: Array) -> Array:
    same = (made == answer.rounded) | np.isnan(made) & np.isnan(answer.rounded)
    return same | answer.required.holds(made)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 2, 10, 300])
def test_numpy_is_inside(dtype: str, classes: int) -> None:
    for name, x in hard_logits(dtype, np.random.default_rng(classes), max(classes, 4)):
        x = x[:, :classes]
        answer = due(x)
        for how, function in honest.HONEST.items():
            if how == "online" and "absent" in name:
                continue  # exp(-inf - -inf) is NaN: that one is wrong
            assert is_inside(answer, honest.computed(function, x)).all(), (name, how)


def as_torch(x: Array) -> Any:
    torch = pytest.importorskip("torch")
    if x.dtype == dtype_of("bfloat16"):
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def as_numpy(tensor: Any, dtype: str) -> Array:
    tensor = tensor.detach()
    return (
        tensor.view(as_torch(np.zeros(1, np.int16)).dtype).numpy().view(dtype_of(dtype))
        if dtype == "bfloat16"
        else tensor.numpy()
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [4, 10, 300])
def test_torch_is_inside(dtype: str, classes: int) -> None:
    functional = pytest.importorskip("torch").nn.functional
    for name, x in hard_logits(dtype, np.random.default_rng(classes + 1), classes):
        made = as_numpy(functional.log_softmax(as_torch(x), -1), dtype)
        loosely = within(lambda ev, x=x: f.log_softmax_of_torch(ev.number(x)), dtype, x.shape)
        assert is_inside(loosely if dtype in HALVES else due(x), made).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_cross_entropy_of_torch_is_inside(dtype: str, reduction: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    for name, x in hard_logits(dtype, rng, 10):
        target, classes = rng.integers(0, x.shape[1], 4), x.shape[1]
        weight = rng.uniform(0.5, 2, (1, classes)).astype(x.dtype)
        smoothing = 0.0 if "absent" in name else 0.1  # -inf there, or NaN: cross_entropy's own affair
        shape = (4, 1) if reduction == "none" else (1, 1)

        def formula(ev: Any, x: Array = x, w: Array = weight, t: Array = target, s: float = smoothing) -> Any:
            return f.cross_entropy_of_torch(ev.number(x), t, ev.number(w), s, reduction)

        answer = within(formula, dtype, shape)
        made = torch.nn.functional.cross_entropy(
            as_torch(x), torch.from_numpy(target), as_torch(weight[0]), reduction=reduction, label_smoothing=smoothing
        )
        assert is_inside(answer, as_numpy(made, dtype).reshape(shape)).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_of_torch_is_inside(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(9)
    for name, x in hard_logits(dtype, rng, 10):
        g = rng.standard_normal(x.shape).astype(x.dtype)

        def slope(ev: Any, x: Array = x, g: Array = g) -> Any:
            number = ev.number(x)
            y = f.log_softmax_of_torch(number) if dtype in HALVES else f.log_softmax(number)
            return f.gradient(y, number, ev.number(g))

        tensor = as_torch(x).requires_grad_()
        (made,) = torch.autograd.grad(torch.nn.functional.log_softmax(tensor, -1), tensor, as_torch(g))
        assert is_inside(within(slope, dtype, x.shape), as_numpy(made, dtype)).all(), name


@pytest.mark.parametrize("classes", [10, 1000, 30_000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_running_sum_reaches_a_quarter_of_the_bound(dtype: str, classes: int) -> None:
    """It does not notice what is less than half a unit beside 1: the bound is not much too wide."""
    x = np.full((1, classes), np.log(np.finfo(dtype).eps) - 1.7, dtype)
    x[0, 0] = 0
    answer, made = due(x), honest.computed(honest.one_by_one, x)
    off, bound = made - answer.rounded, answer.required.high - answer.rounded
    assert (off[0, 0] / bound[0, 0]) > (0.25 if classes > 10 else 0.04)  # 4 ulp of the logarithm's argument count more
    assert is_inside(answer, made).all()


FAULTS: list[tuple[Callable[[Array], Array], str, str]] = [
    (honest.without_shift, "offset 10000", "float32"),
    (honest.without_shift, "dominant by 104", "float32"),
    (honest.lse_last, "offset 10000", "float32"),
    (honest.lse_last, "offset 10000", "float64"),
    (honest.lse_last, "offset 1e+10", "float64"),
    (honest.in_two_steps, "dominant by 104", "float32"),
    (honest.in_two_steps, "spread of 800", "float64"),
    (honest.with_epsilon, "dominant by 20", "float32"),
    (honest.with_epsilon, "ordinary", "float64"),
    (honest.accumulated_in_half, "ordinary", "float32"),
    (honest.accumulated_in_half, "equal", "bfloat16"),
    (honest.of_truncated_inputs, "ordinary", "float32"),
]


@pytest.mark.parametrize(("fault", "name", "dtype"), FAULTS)
def test_a_planted_fault_is_outside(fault: Callable[[Array], Array], name: str, dtype: str) -> None:
    x = dict(hard_logits(dtype, np.random.default_rng(4), 10 if name != "equal" else 300))[name]
    assert not is_inside(due(x), honest.computed(fault, x)).all()


def test_gradients_that_forget_the_sum_are_outside() -> None:
    x, g = np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32)

    def slope(ev: Any) -> Any:
        number = ev.number(x)
        return f.gradient(f.log_softmax(number), number, ev.number(g))

    answer = within(slope, "float32", x.shape)
    assert (answer.rounded == 0).all()
    assert not answer.required.holds(g).any()
    assert answer.required.holds(np.full_like(x, 1e-7)).all()


def test_a_row_sum_of_chances_is_1() -> None:
    x = np.random.default_rng(1).standard_normal((5, 10)).astype(np.float32)
    answer = within(lambda ev: total(f.softmax(ev.number(x)), -1), "float32", (5,))
    assert (answer.rounded == 1).all()
    assert not answer.required.holds(np.full(5, 1.00001, np.float32)).any()


def test_one_entry_of_a_row_is_taken() -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
    labels = np.array([[0, 1, 2, 0], [2, 1, 0, 1]])
    for given in (labels, labels[:, None]):
        answer = within(lambda ev, t=given: take(ev.number(x), t, 1), "float32", (2, 4))
        assert (answer.rounded == np.take_along_axis(x, labels[:, None], 1)[:, 0]).all()
        assert (answer.required.low == answer.required.high).all()
