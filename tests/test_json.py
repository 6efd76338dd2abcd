"""What `--json` prints: nothing but JSON, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path

from lossparity.reports import records
from lossparity.reports.records import Finding

from .test_cli import lossparity


def test_check_speaks_json(tmp_path: Path) -> None:
    arguments = ("examples/my_losses.py:mean_over_all", "--framework", "numpy", "--dtypes", "float32")
    done = lossparity("check", *arguments, "--family", "value", "--out", str(tmp_path), "--json")
    content = json.loads(done.stdout)
    assert done.returncode == content["exit_code"] == 1
    assert content["ended"] == "complete"
    assert content["planned"] == sum(content["statuses"].values())
    assert content["unexpected"] > 0
    assert content["problems"] == []
    assert [subject["name"] for subject in content["subjects"]] == ["numpy:my_losses.mean_over_all"]
    assert Path(content["report"]).exists()
    read = records.read(Path(content["records"]))
    kept = {finding.digest for finding in read.of(Finding) if not finding.expected}
    for finding in content["findings"]:
        assert finding["digest"] in kept
        for words in (finding["because"], finding["observed"], finding["exact"], finding["summary"]):
            assert words in finding["text"]
    assert content["findings"][0]["text"] in done.stderr  # where a person may still read along
    assert "exit code 1" in done.stderr


def test_run_speaks_json_and_users_prints_do_not(tmp_path: Path) -> None:
    done = lossparity("run", "-b", "numpy", "--family", "vectors", "--out", str(tmp_path / "run"), "--json")
    content = json.loads(done.stdout)
    assert (done.returncode, content["exit_code"], content["unexpected"], content["findings"]) == (0, 0, 0, [])
    arguments = ("tests/bad_losses.py:prints", "--framework", "numpy", "--dtypes", "float32", "--family", "vectors")
    done = lossparity("check", *arguments, "--out", str(tmp_path / "check"), "--json")
    assert json.loads(done.stdout)["statuses"]["pass"] > 0


def test_an_engine_error_speaks_json(tmp_path: Path) -> None:
    arguments = ("run", "-b", "numpy", "--family", "shape", "--out", str(tmp_path), "--json")
    done = lossparity(*arguments, LOSSPARITY_WITHOUT_HEARTBEAT="1")
    content = json.loads(done.stdout)
    assert done.returncode == content["exit_code"] == 3
    assert any("no heartbeat" in problem for problem in content["problems"])


def test_a_run_that_cannot_start_prints_no_json(tmp_path: Path) -> None:
    done = lossparity("check", "examples/my_losses.py:corect", "--framework", "numpy", "--out", str(tmp_path), "--json")
    assert (done.returncode, done.stdout) == (4, "")
    assert "did you mean correct?" in done.stderr
