"""A bug report for the project whose loss is wrong, in Markdown: complete, and free of this machine's paths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from ...reports import findings
from ...specs.rules import Clause, Rules
from ..planning import machine
from .replay import Replayed
from .reproducer import Reproducer

_SOURCES = {
    "T": "[PyTorch's documentation](https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html)",
    "O": "[ONNX, NegativeLogLikelihoodLoss](https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html)",
    "I": "IEEE 754",
    "D": "a decision of the lossparity specification",
    "N": "an error bound that any order of summation meets, derived in lossparity's docs/numerics.md",
}
_REFERENCES = 5  # of each bug class
_CLAUSES = 3  # that are spelt out
_PATH = re.compile(r"(?<![\w/:.])(?:/[\w.@+~ -]+)+/([\w.@+~-]+)")


def issue(found: Replayed, script: Reproducer) -> str:
    """The report of one failing case."""
    return "\n".join(_lines(found, script)).rstrip() + "\n"


def _lines(found: Replayed, script: Reproducer) -> Iterator[str]:
    finding, rules, loss = found.finding, found.case.rules, found.case.call.signature.loss
    title = found.rows[0].title if found.rows else finding.because.rstrip(".")
    yield f"# {loss}: {_plain(title[0].lower() + title[1:])}"
    yield ""
    yield f"`{found.subject}`, `{loss}({finding.summary})`"
    yield from ("", "## To reproduce", "")
    if script.text:
        yield from ("```python", script.text.rstrip(), "```", "", "It prints", "", "```")
        yield from (anonymous(script.output).rstrip(), "```")
    else:
        yield f"{script.why_not[0].upper()}{_plain(script.why_not[1:])}."
        yield from ("", "```json", _encoded(found), "```")
    yield from ("", "## Observed and expected", "")
    yield f"- Observed: {_plain(anonymous(finding.observed))}"
    yield f"- Exact: {_plain(finding.exact)}"
    yield from [f"- Distance: {finding.distance}"] * bool(finding.distance)
    yield from ("", "## What says so", "")
    for id in found.failed[:_CLAUSES]:
        clause = rules.clauses[id]
        yield f"- **{id}** ({clause.level}): {clause.statement} Source: {_source(clause, rules)}."
    if more := found.failed[_CLAUSES:]:
        yield f"- Also {', '.join(more)}."
    yield from ("", "## Why it matters", "")
    yield from _effects(found, rules)
    for row in found.rows:
        yield from ("", f"Recorded by lossparity as known divergence `{row.id}`: {row.explanation}")
        yield from (f"See {_link(reference)}." for reference in row.references)
    yield from ("", "## Versions", "")
    yield from _versions(found)


def _effects(found: Replayed, rules: Rules) -> Iterator[str]:
    """Bug classes, what they do to a user, and where the like was reported in public.

    They are those of the mutant that the subject behaves like; without one, all that its first clause is there for.
    """
    names = found.hint.flags or rules.clauses[found.failed[0]].flags
    if found.hint.text:
        yield from (f"A hint at the cause, no verdict: {found.hint.text}.", "")
    if not found.hint.flags:
        yield from (f"What is known to break {found.failed[0]}, which this may be or not:", "")
    for name in names:
        flag = rules.flags[name]
        seen = ", ".join(_link(reference) for reference in flag.seen_in[:_REFERENCES])
        yield f"- {name}: {flag.fault} Effect: {flag.effect} Of the same class: {seen}."


def _source(clause: Clause, rules: Rules) -> str:
    return "; ".join(_SOURCES.get(word) or _decided(word, rules) for word in clause.source.split(", "))


def _decided(entry: str, rules: Rules) -> str:
    """An entry of the ambiguity register: the question and the answer."""
    row = re.search(rf"^\| {re.escape(entry)} \|([^|]*)\|([^|]*)\|", rules.text("spec.md"), re.MULTILINE)
    return f"lossparity's ambiguity register, {entry}" + (f": {row[1].strip()}: {row[2].strip()}" if row else "")


def _link(reference: str) -> str:
    address = findings.link(reference)
    return f"[{reference}]({address})" if address and address != reference else reference


def _versions(found: Replayed) -> Iterator[str]:
    about = machine.describe()
    yield f"- {found.backend} {found.version}"
    yield f"- Python {about['python']}, NumPy {about['numpy']}"
    yield f"- {about['system']}, {about['processor']}"


def _encoded(found: Replayed) -> str:
    encoded = json.dumps(found.finding.call)
    return encoded if len(encoded) <= findings.LONGEST_CALL else f"(a call of {len(encoded):,} characters)"


def _plain(text: str) -> str:
    """A message of which nothing is taken for HTML: a framework's `<class 'float'>` would not be seen."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def anonymous(text: str) -> str:
    """Text without the folders of this machine: of a path its last part remains."""
    return _PATH.sub(r"\1", text)
