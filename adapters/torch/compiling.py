"""torch.compile and torch.jit for users' functions: what they made, and that it never runs eagerly in silence."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from ...specs.errors import BridgeError, CannotCompile
from ..base import Compiler, unwrapped

COMPILE, SCRIPT = "torch.compile", "torch.jit"

# Far above the number of signatures of any profile: a recompilation too many is an error, never a silent fall
# back to eager.
_RECOMPILE_LIMIT = 1 << 14


def never_eager(compiled: Callable[..., Any], name: str) -> Callable[..., Any]:
    """What torch.compile made; it raises BridgeError rather than run eagerly in silence.

    Graphs that break are the function's own business, as long as there is one. `require_compiling` sees the rest.
    """
    import torch._dynamo
    from torch._dynamo.exc import FailOnRecompileLimitHit
    from torch._dynamo.utils import counters

    # Calls that must fail do so while a graph is made, and dynamo would log each at length.
    for logger in ("torch._subclasses.fake_tensor", "torch._dynamo"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    config: Any = torch._dynamo.config
    configured = threading.local()
    seen: list[bool] = []

    def run(*arguments: Any, **options: Any) -> Any:
        if not hasattr(configured, "done"):  # settings of dynamo hold for the thread that makes them
            config.recompile_limit = config.accumulated_recompile_limit = _RECOMPILE_LIMIT
            config.fail_on_recompile_limit_hit = True
            configured.done = True
        before = counters["stats"]["unique_graphs"] if not seen else 0
        try:
            result = compiled(*arguments, **options)
        except FailOnRecompileLimitHit as error:
            raise BridgeError(f"{name}: torch.compile gave up at its limit of recompilations: {error}") from error
        if not seen:
            if counters["stats"]["unique_graphs"] == before and not _has_graph(compiled):
                raise BridgeError(f"{name}: torch.compile captured no graph at all: the function ran eagerly")
            seen.append(True)
        return result

    return run


def require_compiling(name: str) -> None:
    """Guard against switches that let compiled functions run eagerly; raises BridgeError that names the one."""
    import torch._dynamo
    from torch._dynamo import eval_frame

    config: Any = torch._dynamo.config
    switch = ""
    if config.disable:
        switch = "torch._dynamo.config.disable (TORCH_COMPILE_DISABLE)"
    elif config.suppress_errors:
        switch = "torch._dynamo.config.suppress_errors (TORCHDYNAMO_SUPPRESS_ERRORS)"
    elif eval_frame._stance.stance != "default":
        switch = f"torch.compiler.set_stance({eval_frame._stance.stance!r})"
    if switch:
        raise BridgeError(f"{name}: {switch} is in effect, so that compiled code could run eagerly: switch it off")


def _has_graph(compiled: Any) -> bool:
    """Whether dynamo keeps a graph for what was compiled, as it does after calls that others have made."""
    compiled = unwrapped(compiled)
    inner = getattr(compiled, "_torchdynamo_orig_callable", None) or getattr(compiled, "_orig_mod", compiled)
    return _keeps_graph(getattr(inner, "forward", inner))


def _keeps_graph(function: Any) -> bool:
    """Whether a program that is kept for a function, or for what follows where a graph breaks, calls a graph."""
    from torch._dynamo.eval_frame import _debug_get_cache_entry_list

    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__"):
        return False
    names = [name for entry in _debug_get_cache_entry_list(function.__code__) for name in entry.code.co_names]
    parts = [function.__globals__[name] for name in names if name.startswith("__resume_at")]
    return any(name.startswith("__compiled_fn") for name in names) or any(map(_keeps_graph, parts))


def _made(function: Any) -> str:
    """By which of torch's compilers a function was made."""
    import torch

    function = unwrapped(function)
    if isinstance(function, torch.jit.ScriptFunction | torch.jit.ScriptModule):
        return SCRIPT
    dynamo = sys.modules.get("torch._dynamo")  # as long as nobody imports it, nothing is compiled
    is_module = dynamo is not None and isinstance(function, dynamo.OptimizedModule)
    is_compiled = hasattr(function, "_torchdynamo_orig_callable") and not hasattr(function, "_torchdynamo_disable")
    return COMPILE if is_module or is_compiled else ""


def compiled_whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one graph; raises CannotCompile where torch.compile is switched off."""
    import torch

    compiled = torch.compile(function, fullgraph=True, dynamic=False)
    if not _made(compiled):
        raise CannotCompile("torch.compile is switched off (TORCHDYNAMO_DISABLE): it compiles nothing; switch it on")
    return compiled


def _refuses(error: BaseException) -> str:
    """Why no single graph can be made of a function; what it raises itself, dynamo words as an observed exception."""
    from torch._dynamo.exc import Unsupported

    refused: Any = error
    if not isinstance(error, Unsupported) or refused.gb_type == "Observed exception":
        return ""
    return f"torch.compile(fullgraph=True): {str(error).strip().splitlines()[0]}"


COMPILER = Compiler(
    made=_made,
    compile=lambda signature, function: compiled_whole(function),
    refuses=_refuses,
    line="{name} = torch.compile({name}, fullgraph=True, dynamic=False)",
)
