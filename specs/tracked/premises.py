"""What is taken for granted of elementary functions, and printed wherever a bound follows from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Premises:
    """How well implementations compute exp and log, and in which of the legal ways they may.

    `exp_ulp` and `log_ulp`: units in the last place by which exp and log may be off. `exp_roundings`: how often the
    argument of exp may be rounded relatively, twice where exp(x) is made as exp2(x * log2(e)). `lanes`: a sum of exps
    may be computed while its maximum is still sought, by at least so many lanes, whose partial sums are merged in a
    tree; each new maximum rescales what was summed. With 0 lanes the maximum is known before the sum begins.
    """

    exp_ulp: float = 4.0
    log_ulp: float = 4.0
    exp_roundings: int = 2
    lanes: int = 32

    def rescalings(self, terms: int) -> int:
        """How often a term of a sum of exps may be rescaled at most."""
        if not self.lanes or terms < 2:
            return 0
        lanes = min(self.lanes, terms)
        return -(-terms // lanes) - 1 + (lanes - 1).bit_length()


PREMISES = Premises()
