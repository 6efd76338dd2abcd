"""docs/tutorial.md, followed: what it says is printed, and what it changes is enough."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def edits() -> list[tuple[str, str]]:
    """What the tutorial takes away and puts in its place, in order."""
    blocks = re.findall(r"((?:^    -.*\n)+)((?:^    \+.*\n)+)", TEXT, re.MULTILINE)
    return [(_code(old), _code(new)) for old, new in blocks]


def _code(lines: str) -> str:
    return "".join(f"{line[5:]}\n" for line in lines.splitlines())


def said(printed: str, words: str) -> bool:
    """Whether a line of the tutorial, as far as it is not abridged, was printed."""
    assert words in TEXT
    return words.partition(" ...")[0] in " ".join(printed.split())


def test_the_tutorial_can_be_followed(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel.py"
    kernel.write_text((ROOT / "examples" / "kernel.py").read_text(encoding="utf-8"), encoding="utf-8")
    line = next(line.split() for line in TEXT.splitlines() if line.startswith("    lossparity check"))

    def check() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lossparity.conformance.cli", *line[1:]]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    first = check()
    assert first.returncode == 1, first.stdout + first.stderr
    assert said(first.stdout, "The loss is wrong by 100 %: 2, exact 1")
    assert said(first.stdout, "it behaves like the mutant mean_by_count")
    assert said(first.stdout, "observed / exact = 2/1 = the sum of the kept targets' weights / all positions")
    for number, (old, new) in enumerate(edits()):
        text = kernel.read_text(encoding="utf-8")
        assert text.count(old) == 1
        kernel.write_text(text.replace(old, new), encoding="utf-8")
        again = check()
        if number == 0:
            assert again.returncode == 1, again.stdout + again.stderr
            assert said(again.stdout, "MUST: an ignored position adds nothing to S and nothing to W."), again.stdout
    assert again.returncode == 0, again.stdout + again.stderr
    assert said(again.stdout, "conforms for float32, 2-d input, int64 targets: 99 % of 5,312 calls judged")
