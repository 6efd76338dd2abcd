"""Facts about a call that any loss has; the class of a loss adds its own."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

from .call import Call
from .case import NoFact


class CallFacts:
    """Facts about one call, computed when asked for: attributes named in `meanings`, which a loss gives."""

    meanings: ClassVar[Mapping[str, str]] = {}

    def __init__(self, call: Call, asked: Call | None = None) -> None:
        """`asked` is the whole call where `call` is only the first of a batch."""
        self.call = call
        self.asked = call if asked is None else asked

    def __getitem__(self, name: str) -> Any:
        """The fact called `name`, one of `meanings`; raises NoFact where this call has none."""
        if name not in self.meanings:
            raise NoFact(name)
        return getattr(self, name)

    @property
    def kind(self) -> str:
        """What is asked for."""
        return self.asked.kind

    @property
    def batched(self) -> str:
        """Arguments that carry a leading axis to map over."""
        return "+".join(self.asked.transform.batched) if self.asked.transform is not None else "none"

    @functools.cached_property
    def unit_upstream(self) -> bool:
        """Whether the upstream gradient is 1 everywhere."""
        transform = self.asked.transform
        return transform is None or transform.upstream is None or bool((transform.upstream == 1).all())

    @property
    def dtype(self) -> str:
        """Name of the first array's dtype."""
        return self.call.dtype

    @property
    def omitted(self) -> str:
        """Arguments that the caller leaves out."""
        return "+".join(name for name in self.call.signature.omissible if name in self.call.omitted) or "none"

    def layout(self, name: str) -> str:
        """Arrangement in memory of the array of this name."""
        return dict(self.asked.layouts).get(name, "c")
