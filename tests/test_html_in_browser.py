"""The HTML report in a browser: pressed, walked by keyboard, narrow, dark, and without script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def page(open_page: Callable[[Path], Any], index: Path) -> Any:
    """The page of a sample run."""
    return open_page(index)


def test_pressing_a_divergent_cell_shows_its_clause_and_finding(page: Any, tmp_path: Path) -> None:
    result = page.locator('[id="ACC-3/torch"]')
    assert not result.is_visible()
    page.locator('td a.cell[href="#ACC-3/torch"]').click()
    result.wait_for(state="visible")
    panel = page.locator('[id="ACC-3"]')
    assert "accumulator plus one final rounding" in panel.inner_text()
    assert "torch-half-mean-saturates" in result.inner_text()
    assert "observed" in result.inner_text()
    assert page.evaluate("document.querySelector('td a.cell[aria-current]').hash") == "#ACC-3/torch"
    picture = tmp_path / "cell.png"
    page.screenshot(path=picture)
    assert picture.stat().st_size > 10_000


def test_keyboard_opens_walks_and_closes(page: Any) -> None:
    page.locator('td a.cell[href="#ACC-3/numpy"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator('[id="ACC-3/torch"]').wait_for(state="visible")
    page.keyboard.press("Escape")
    page.locator('[id="ACC-3/torch"]').wait_for(state="hidden")
    assert page.evaluate("document.activeElement.hash") == "#ACC-3/torch"


def test_an_address_opens_its_cell(page: Any, index: Path) -> None:
    page.goto("about:blank")
    page.goto(index.as_uri() + "#IGN-4/torch:compile")
    box = page.locator('[id="IGN-4"]').bounding_box()
    assert box is not None
    assert 0 < box["y"] < 450


def test_it_fits_the_window_in_light_dark_and_narrow(page: Any) -> None:
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 420)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_reads_without_script(browser: Any, index: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(index.as_uri() + "#VALUE-3/torch")
    assert opened.locator('[id="VALUE-3/torch"]').is_visible()
    assert opened.locator(".extra").first.is_visible() == opened.locator("details.group").first.evaluate(
        "it => it.open"
    )
    context.close()
