"""Floating-point formats as integer codes, for the second oracle: slow and plain on purpose."""

from __future__ import annotations

from fractions import Fraction

# Name -> (stored bits, explicit fraction bits, smallest normal exponent).
LAYOUTS = {
    "float16": (16, 10, -14),
    "bfloat16": (16, 7, -126),
    "float32": (32, 23, -126),
    "float64": (64, 52, -1022),
}


def spacing(name: str) -> Fraction:
    """Distance between subnormal numbers."""
    _, fraction_bits, lowest = LAYOUTS[name]
    return Fraction(1, 1 << (fraction_bits - lowest))


def smallest_normal(name: str) -> Fraction:
    """The smallest positive normal number."""
    return spacing(name) * (1 << LAYOUTS[name][1])


def infinity_code(name: str) -> int:
    """The bits of +inf: all ones in the exponent, zeros in the fraction."""
    width, fraction_bits, _ = LAYOUTS[name]
    return (1 << (width - 1)) - (1 << fraction_bits)


def decode(code: int, name: str) -> Fraction:
    """The value of the positive finite number with these bits."""
    _, fraction_bits, _ = LAYOUTS[name]
    exponent, fraction = code >> fraction_bits, code & ((1 << fraction_bits) - 1)
    if exponent == 0:
        return fraction * spacing(name)
    return ((1 << fraction_bits) + fraction) * spacing(name) * (1 << (exponent - 1))


def nearest_code(value: Fraction, name: str) -> int:
    """The bits of the number nearest to `value` >= 0: the codes are in order, so it is found by bisection.

    A tie goes to the even code. Infinity takes part in its place in the order, as if the exponents went on:
    that is how IEEE 754 rounds before it calls a result an overflow.
    """
    if value >= 2 * decode(infinity_code(name) - 1, name):
        return infinity_code(name)
    low, high = 0, infinity_code(name)  # decode(low) <= value < decode(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if decode(middle, name) <= value else (low, middle)
    below, above = value - decode(low, name), decode(high, name) - value
    if below < 0 or above < below or (above == below and low % 2):
        return high
    return low


def round_signed(value: Fraction, name: str) -> int:
    """The bits of the number nearest to `value`, sign included; zero is +0."""
    code = nearest_code(abs(value), name)
    return code | (1 << (LAYOUTS[name][0] - 1)) if value < 0 and code else code
