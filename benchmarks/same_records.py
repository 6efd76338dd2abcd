"""Counts where two runs say something different: `python benchmarks/same_records.py BEFORE AFTER`.

Takes two files records.jsonl. What may differ is left out: times, which item of a worker compiled what others use too,
the order of lines, when and by which command a run was made, the machine, the version of lossparity, and what only
newer formats say: loss, device, plan, and the names of items. Each difference is a line that one of them has more often
than the other. Exit code 1 if there is one.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

TIMES = {"seconds", "framework_seconds", "compile_seconds", "compilations", "split"}
NEWER = {"loss", "plan", "part", "families", "places", "id", "device"}
FREE = TIMES | {"started", "command", "machine", "lossparity", "format"}
SHOWN = 10


def lines(file: Path) -> Counter[str]:
    """What a run says, line by line, without what may differ."""
    return Counter(json.dumps(_kept(json.loads(line)), sort_keys=True) for line in file.read_text("utf-8").splitlines())


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in record.items() if name not in FREE | NEWER}
    for table in ("subjects", "clauses", "divergences", "before"):  # rows of a header or of a finding
        kept |= {table: [_without_loss(row) for row in kept[table]]} if table in kept else {}
    return kept


def _without_loss(row: Any) -> Any:
    return {name: value for name, value in row.items() if name != "loss"} if isinstance(row, dict) else row


def main(before: str, after: str) -> int:
    """Print the differences; returns the exit code."""
    then, now = lines(Path(before)), lines(Path(after))
    gone, new = then - now, now - then
    for sign, found in (("-", gone), ("+", new)):
        for line in sorted(found)[:SHOWN]:
            print(f"{sign} {line[:300]}")
    print(f"{then.total()} lines before, {now.total()} after: {gone.total()} gone, {new.total()} new")
    print(f"differences: {max(gone.total(), new.total())}")
    return 1 if gone or new else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
