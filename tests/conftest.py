"""Imports torch before any test can import another framework: its OpenMP clashes with theirs the other way round.

And sample runs, their page, and a browser, for the tests of reports.
"""

import importlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("torch"):
    importlib.import_module("torch")

# Where bad adapters remember that they died; known before a fork server starts, whose children have its environment.
os.environ["LOSSPARITY_TEST_FILE"] = str(Path(tempfile.gettempdir()) / f"lossparity-test-{os.getpid()}")

import sample_run
from lossparity.reports import html
from lossparity.reports.records import Run


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which all is as expected."""
    return sample_run.sample(tmp_path_factory.mktemp("quiet") / "records.jsonl")


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with unexpected results."""
    return sample_run.sample(tmp_path_factory.mktemp("loud") / "records.jsonl", unexpected=True)


@pytest.fixture(scope="module")
def index(loud: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the run with unexpected results."""
    return html.write_site([loud], tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        reason = "no Chromium on PATH: `apt-get install chromium` to test the page in a browser"
        print(reason)
        pytest.skip(reason)
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = driver.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[Path], Any]]:
    """Opens a file at 1280 pixels; fails on console errors and on anything loaded besides the file itself."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    trouble: list[str] = []

    def open_it(file: Path) -> Any:
        opened = context.new_page()
        opened.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: trouble.append(str(error)))
        opened.on("request", lambda request: trouble.append(request.url) if request.url.startswith("http") else None)
        opened.goto(file.as_uri())
        return opened

    yield open_it
    context.close()
    assert trouble == []
