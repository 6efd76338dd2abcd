"""Counts where two runs say something different: `python benchmarks/same_records.py BEFORE AFTER`.

Takes two files records.jsonl. What may differ is left out: times, which item of a worker compiled what others use too,
the order of lines, when and by which command a run was made, the machine, the version of lossparity, and what only
newer formats say: loss, device, plan, and the names of items. Each difference is a line that one of them has more often
than the other. Exit code 1 if there is one.

With --verdicts the words may differ too, and what is derived from a verdict: statements of clauses, the numbers in a
message, proven depths. What is compared is how many calls of which clause ended how, in which item, and how accurate
each of them was.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

TIMES = {"seconds", "framework_seconds", "compile_seconds", "compilations", "split"}
NEWER = {"loss", "plan", "part", "families", "places", "id", "device"}
NEWER |= {"outside", "worst_relative", "notes", "returned", "declined", "domain"}
WORDS = {"statement", "worst_depth", "deep"}  # what --verdicts leaves out
FREE = TIMES | {"started", "command", "machine", "lossparity", "format"}
SHOWN = 10


def lines(file: Path, verdicts: bool = False) -> Counter[str]:
    """What a run says, line by line, without what may differ."""
    records = (_kept(json.loads(line), verdicts) for line in file.read_text("utf-8").splitlines())
    return Counter(json.dumps(record, sort_keys=True) for record in records if not _empty(record))


def _kept(record: dict[str, Any], verdicts: bool) -> dict[str, Any]:
    free = FREE | NEWER | (WORDS if verdicts else set())
    kept = {name: value for name, value in record.items() if name not in free}
    for table in ("subjects", "clauses", "divergences", "before"):  # rows of a header or of a finding
        kept |= {table: [_row(row, free) for row in kept[table]]} if table in kept else {}
    if verdicts and "what" in kept:
        kept["what"] = re.sub("#+", "#", kept["what"])  # one sign for a number, or one for each digit
    return kept


def _row(row: Any, free: set[str]) -> Any:
    named = free - {"id"}  # a clause's
    return {name: value for name, value in row.items() if name not in named} if isinstance(row, dict) else row


def _empty(record: dict[str, Any]) -> bool:
    return record["type"] == "accuracy" and not (record["judged"] or record["uninformative"])


def main(before: str, after: str, verdicts: bool = False) -> int:
    """Print the differences; returns the exit code."""
    then, now = lines(Path(before), verdicts), lines(Path(after), verdicts)
    gone, new = then - now, now - then
    for sign, found in (("-", gone), ("+", new)):
        for line in sorted(found)[:SHOWN]:
            print(f"{sign} {line[:300]}")
    print(f"{then.total()} lines before, {now.total()} after: {gone.total()} gone, {new.total()} new")
    print(f"differences: {max(gone.total(), new.total())}")
    return 1 if gone or new else 0


if __name__ == "__main__":
    files = [argument for argument in sys.argv[1:] if argument != "--verdicts"]
    if len(files) != 2:
        sys.exit(__doc__)
    sys.exit(main(*files, verdicts="--verdicts" in sys.argv))
