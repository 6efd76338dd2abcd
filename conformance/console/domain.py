"""Options that say what a function is for, and what stands beside the verdict on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from ...adapters import user
from ...adapters.base import FEATURES
from ...adapters.domains import domain_of
from ...reports.records import Item
from ...specs.call import FLOAT_DTYPES, Signature
from ...specs.domain import value_of
from ...specs.errors import NothingRan, UsageError
from ..items.spec import Request
from ..planning import asking
from .options import adding

_LISTS = ("dtypes", "targets", "ranks", "reductions", "arguments")
_PLAIN = ("no_weight", "no_ignore_index", "no_empty", "no_unbatched")


def for_domain() -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of commands that check a user's function; what they say arrives as one argument, `domain`."""
    options = (
        click.option("--dtypes", default="", metavar="NAME,...",
                     help=f"Only these dtypes of input. Default: all, {','.join(FLOAT_DTYPES)}."),
        click.option("--targets", default="", metavar="NAME,...",
                     help="These dtypes of target, such as int64,int32. Default: the framework's own, int64,int32 with "
                     "jax and tensorflow, else int64."),
        click.option("--without", multiple=True, metavar="NAME",
                     help=f"Do not ask for this feature, such as gradient; repeatable: {', '.join(FEATURES)}."),
        click.option("--ranks", default="", metavar="N,...", help="Only input of so many axes, such as 2 or 2,3."),
        click.option("--reductions", default="", metavar="NAME,...", help="Only these reductions, such as mean,sum."),
        click.option("--no-weight", is_flag=True, help="It takes no weight."),
        click.option("--no-ignore-index", is_flag=True, help="It takes no ignore_index, and ignores nothing."),
        click.option("--no-empty", is_flag=True, help="No arrays without elements."),
        click.option("--no-unbatched", is_flag=True, help="No 1-d input, which has no batch axis."),
        click.option("--no", multiple=True, metavar="ARGUMENT",
                     help="It takes no such argument, for losses with others than those. Repeatable."),
        click.option("--only", multiple=True, metavar="OPTION=VALUE,...",
                     help="Only these values of an option, for losses with others than reduction. Repeatable."),
        click.option("--arguments", default="", metavar="NAME=OWN,...",
                     help="What the function calls arguments of the loss, such as input=x,target=y."),
    )  # fmt: skip
    return adding(*options)


def target_of(framework: str, place: str, signature: Signature, options: dict[str, Any], **how: bool) -> user.Target:
    """The function with what the options of `for_domain` say of it; takes those out of `options`.

    Raises UsageError for what does not exist.
    """
    lists: dict[str, list[str]] = {name: _words(options.pop(name)) for name in _LISTS}
    only = dict(_assigned("--only", text) for text in options.pop("only"))
    flags: dict[str, Any] = {name: options.pop(name) for name in ("without", "no", *_PLAIN)}
    domain = domain_of(
        signature,
        "--",
        dtypes=lists["dtypes"],
        targets=lists["targets"],
        ranks=[_rank(word) for word in lists["ranks"]],
        reductions=lists["reductions"],
        only={name: [value_of(word) for word in words] for name, words in only.items()},
        **flags,
    )
    names = [_assigned("--arguments", word) for word in lists["arguments"]]
    return user.target(framework, place, domain, [(name, own) for name, (own,) in names], **how)


def nothing_said(request: Request, exit_code: int, items: Iterable[Item]) -> str:
    """Why a run that ended with this exit code says nothing of a user's function; empty if it does."""
    if exit_code != NothingRan.exit_code or not request.is_check:
        return ""
    if not sum(item.planned for item in items):
        return f"nothing was left to ask: {asking.blamed(request)} leave no call that this function can be asked"
    return "no legal call came back with a result, so that nothing can be said of what it computes"


def _assigned(option: str, text: str) -> tuple[str, list[str]]:
    name, sign, values = text.partition("=")
    if not sign or not name.strip() or not _words(values):
        raise UsageError(f"{option} {text}: write NAME=VALUE")
    return name.strip(), _words(values)


def _rank(word: str) -> int:
    if not word.isdecimal():
        raise UsageError(f"--ranks: {word!r} is no number of axes; write such as 2 or 2,3")
    return int(word)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
