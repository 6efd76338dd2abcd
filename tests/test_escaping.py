"""Words of a framework or a user in Markdown: nothing of them is taken for HTML, nor for a table's border."""

from __future__ import annotations

import re
from pathlib import Path

import sample_run
from lossparity.reports import markdown, matrix, records

from .test_cli import lossparity

EVIL = "<b>|x</b>"


def outside_of_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def test_a_summary_escapes_names_of_subjects(tmp_path: Path) -> None:
    file = Path(sample_run.sample(tmp_path / "records.jsonl", unexpected=True).path)
    file.write_text(file.read_text("utf-8").replace('"torch', f'"{EVIL}torch'), encoding="utf-8")
    text = markdown.summary(matrix.cells([records.read(file)]))
    assert "\\<b\\>\\|x\\</b\\>torch:compile" in text
    assert not re.search(r"(?<!\\)<", outside_of_code(text))
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_an_issue_escapes_what_a_framework_says(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def loss(*args, **kwargs):\n    raise TypeError('expected <b> & no <class float>')\n", encoding="utf-8"
    )
    report = tmp_path / "issue.md"
    vector = "value-2-sum-averaged-over-spatial-axes-float16-sum"
    done = lossparity("replay", vector, "-b", f"numpy@{tmp_path / 'mine.py'}:loss", "--issue", str(report))
    assert done.returncode == 1, done.stdout + done.stderr
    text = outside_of_code(report.read_text("utf-8"))
    assert "expected &lt;b> &amp; no &lt;class float>" in text
    assert "<" not in text.replace("<https", "")
