"""`lossparity replay` on known divergences: each is reproduced by a script in a fresh process."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lossparity.conformance.findings import issue, reproducer
from lossparity.conformance.findings.locate import locate
from lossparity.conformance.findings.replay import Session
from lossparity.conformance.items.spec import Request
from lossparity.conformance.judging import rows
from lossparity.conformance.judging.judge import Traits, judge
from lossparity.conformance.lint import SUBJECTS
from lossparity.specs.call import Returned
from lossparity.specs.case import Status
from lossparity.specs.nll_loss.clauses import RULES

from .reproducing import check_issue, run_all

ROWS = rows.brought_along("torch", SUBJECTS["torch"])


@pytest.fixture(scope="module")
def torch() -> Iterator[Session]:
    pytest.importorskip("torch")
    with Session("torch", "nll_loss", Request(seconds=200)) as session:
        yield session


def test_every_known_divergence_is_reproduced_by_a_script(torch: Session, tmp_path: Path) -> None:
    """Each pinned vector has a script, which shows the fault: it ends with 1."""
    texts: dict[str, str] = {}
    for row in ROWS:
        (located,) = locate(row.vector)
        found = torch.run(located, row.subjects[0])
        assert found.judgement.status in (Status.FAIL, Status.CRASH)
        assert found.is_expected
        assert row.id in {known.id for known in found.rows}
        texts[row.id] = text = reproducer.script(found.fault, [])
        imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
        imported = {line.split()[1].split(".")[0] for line in imports}
        assert imported <= {"os", "subprocess", "sys", "numpy", "torch"}
    assert len(texts) == len(ROWS)
    code, said = reproducer.run(texts.pop("compile-abort"))  # it starts itself again, so it needs a file
    assert (code, "the process ended with -6" in said) == (1, True)
    for name, (code, said) in run_all(texts, tmp_path).items():
        assert code == 1, (name, said)
        assert "observed: " in said
        assert said.rstrip().endswith("agrees:   False")


def test_a_script_is_shown_only_if_it_reproduces(torch: Session) -> None:
    """The same fault, said to be of the compiled subject, which has not got it."""
    (located,) = locate("torch-weight-rank")
    found = torch.run(located, "torch")
    assert found.reproduce().text
    script = dataclasses.replace(found, subject="torch:compile").reproduce()
    assert script.text == ""
    assert "does not reproduce; the fault did not show" in script.why_not


def test_what_several_calls_decide_has_no_script(torch: Session) -> None:
    (located,) = locate("compile-half-disagrees")
    reason = "no standalone reproducer: REL-8 is about several calls: " + RULES.clauses["REL-8"].statement
    assert torch.run(located, "torch").reproduce().why_not == reason


def test_what_passes_has_no_script(torch: Session) -> None:
    (located,) = locate("compile-half-overflow")
    passed = dataclasses.replace(torch.run(located, "torch"), outcome=Returned(np.array(40000.0, np.float16)))
    passed = dataclasses.replace(passed, judgement=judge(passed.case, passed.outcome, Traits()))
    assert passed.judgement.status is Status.PASS
    assert "nothing failed" in passed.reproduce().why_not


def test_an_issue_tells_of_the_known_divergence(torch: Session) -> None:
    (located,) = locate("torch-weight-rank")
    found = torch.run(located, "torch")
    text = issue.issue(found, found.reproduce())
    (row,) = found.rows
    check_issue(text, found.finding.observed, found.finding.exact, found.reproduce().text)
    for words in (row.title, row.id, row.explanation, "PyTorch's documentation", f"torch {torch.hello.version}"):
        assert words in text
    flag = RULES.flags[RULES.clauses["ERR-5"].flags[0]]
    assert flag.effect in text
    assert flag.seen_in[0] in text


def test_a_forgotten_divergence_is_unexpected(torch: Session) -> None:
    (located,) = locate("torch-weight-rank")
    assert torch.run(located, "torch").is_expected
    with Session("torch", "nll_loss", Request(forgotten=("torch-weight-rank",))) as session:
        assert not session.run(located, "torch").is_expected
