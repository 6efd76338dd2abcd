"""Counts judged calls a second on one core with NumPy, by family, and says where the time goes.

Each item runs in this process as a worker would run it: corpus and exploration, judged, resolved against the known
divergences, noted. Seconds are of the processor, so that a busy machine matters less; shares are those that a run
keeps in its records.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from lossparity.adapters import registry
from lossparity.conformance.items import runner
from lossparity.conformance.items.breadcrumb import Trail
from lossparity.conformance.items.isolation import Isolation
from lossparity.conformance.items.probe import probe
from lossparity.conformance.items.spec import ItemSpec, Request
from lossparity.conformance.judging.ledger import NOTHING_KNOWN
from lossparity.conformance.planning import plan
from lossparity.reports.records import Item
from lossparity.specs.nll_loss import corpus
from lossparity.specs.nll_loss.signature import NLL_LOSS
from lossparity.specs.stopwatch import PARTS


def run(subject: Any, family: str, dtype: str, profile: str, folder: Path) -> Item:
    """One item's record."""
    spec = ItemSpec(subject.name, family, dtype)
    chosen = Request(profile=profile)
    trail, isolation = Trail(folder, "main", 300.0), Isolation("numpy", "cpu", 300.0)
    traits = probe(subject, dtype, spec.loss)
    records, unexpected = runner.run_item(spec, chosen, subject, traits, NOTHING_KNOWN, trail, isolation)
    assert not unexpected, unexpected
    item = records[0]
    assert isinstance(item, Item)
    return item


def main() -> None:
    """Print a line for each family, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="quick", choices=sorted(corpus.SIZES))
    parser.add_argument("--dtype", action="append", help="repeatable; default: float32 and float16")
    chosen = parser.parse_args()

    (subject,) = plan.start(registry.backend("numpy"), NLL_LOSS, "cpu")
    print(f"{'family':10}{'calls':>9}{'seconds':>9}{'calls/s':>9}   " + "".join(f"{part:>12}" for part in PARTS))
    all_calls, all_seconds, all_items = 0, 0.0, list[Item]()
    for family in corpus.FAMILIES:
        start = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            items = [
                run(subject, family, dtype, chosen.profile, Path(folder))
                for dtype in chosen.dtype or ("float32", "float16")
            ]
        calls, seconds = sum(item.planned for item in items), time.process_time() - start
        show(family, calls, seconds, items)
        all_calls, all_seconds, all_items = all_calls + calls, all_seconds + seconds, all_items + items
    show("all", all_calls, all_seconds, all_items)


def show(label: str, calls: int, seconds: float, items: list[Item]) -> None:
    """One line: calls a second, and the share of each part."""
    spent = [sum(item.split[part] for item in items) for part in PARTS]
    shares = "".join(f"{share / sum(spent):12.0%}" for share in spent)
    print(f"{label:10}{calls:9,}{seconds:9.2f}{calls / seconds:9,.0f}   {shares}", flush=True)


if __name__ == "__main__":
    main()
