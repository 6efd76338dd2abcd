"""Counts where two runs say something different: `python benchmarks/same_records.py BEFORE AFTER`.

Takes two files records.jsonl. What may differ is left out: times, which item of a worker compiled what others use too,
the order of lines, when and by which command a run was made, the machine, the version of lossparity, and what only
newer formats say: loss, device, plan, and the names of items. Each difference is a line that one of them has more often
than the other. Exit code 1 if there is one.

With --verdicts some more is left out: the words of clauses, how a message writes a number, depths of sums, what later
records of format 2 say as well, and accuracies of nothing. What remains is how the calls of each clause ended, and how
accurate they were.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

TIMES = {"seconds", "framework_seconds", "compile_seconds", "compilations", "split"}
NEWER = {"loss", "plan", "part", "families", "places", "id", "device"}
FREE = TIMES | {"started", "command", "machine", "lossparity", "format"}
# What --verdicts leaves out, of lines and of a header's rows.
LATER = {"outside", "worst_relative", "worst_depth", "returned", "declined"}
LATER_IN_ROWS = {"statement", "domain"}
SHOWN = 10


def lines(file: Path, verdicts: bool) -> Counter[str]:
    """What a run says, line by line, without what may differ."""
    records = (_kept(json.loads(line)) for line in file.read_text("utf-8").splitlines())
    if verdicts:
        records = map(_verdicts, filter(_says_something, records))
    return Counter(json.dumps(record, sort_keys=True) for record in records)


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in record.items() if name not in FREE | NEWER}
    for table in ("subjects", "clauses", "divergences", "before"):  # rows of a header or of a finding
        kept |= {table: [_without_loss(row) for row in kept[table]]} if table in kept else {}
    return kept


def _without_loss(row: Any) -> Any:
    return {name: value for name, value in row.items() if name != "loss"} if isinstance(row, dict) else row


def _says_something(record: dict[str, Any]) -> bool:
    return record["type"] != "accuracy" or bool(record["judged"] or record["uninformative"])


def _verdicts(record: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in record.items() if name not in LATER}
    match record["type"]:
        case "header":
            for table in ("subjects", "clauses"):
                kept[table] = [{k: v for k, v in row.items() if k not in LATER_IN_ROWS} for row in record[table]]
        case "footer":
            kept.pop("notes", None)
        case "observation":
            kept["what"] = re.sub("#+", "#", record["what"])  # one sign for a number, or one for each digit
    return kept


def main(before: Path, after: Path, verdicts: bool) -> int:
    """Print the differences; returns the exit code."""
    then, now = lines(before, verdicts), lines(after, verdicts)
    gone, new = then - now, now - then
    for sign, found in (("-", gone), ("+", new)):
        for line in sorted(found)[:SHOWN]:
            print(f"{sign} {line[:300]}")
    print(f"{then.total()} lines before, {now.total()} after: {gone.total()} gone, {new.total()} new")
    print(f"differences: {max(gone.total(), new.total())}")
    return 1 if gone or new else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--verdicts", action="store_true", help="leave out words, and what later records say as well")
    sys.exit(main(**vars(parser.parse_args())))
