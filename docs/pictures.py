"""Makes the pictures of this folder: `python docs/pictures.py [FOLDER_OF_A_RUN]`.

report.png shows that run, `lossparity run` on every framework unless another one is named; tutorial.png what
docs/tutorial.md comes to first. Needs Chromium on the PATH, and the extra `test`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
CLI = (sys.executable, "-m", "lossparity.conformance.cli")


def main() -> None:
    """Run what is shown, and take pictures of its pages."""
    chromium = shutil.which("chromium") or sys.exit("Chromium is not on the PATH")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 640}, device_scale_factor=1.5)
        run = Path(sys.argv[1]) if len(sys.argv) > 1 else _run(Path(folder) / "run")
        _taken(page, run / "index.html", HERE / "report.png")
        _taken(page, _checked(Path(folder)) / "index.html", HERE / "tutorial.png", section="Unexpected")
        browser.close()


def _run(out: Path) -> Path:
    subprocess.run([*CLI, "run", "--out", str(out)], check=True)
    return out


def _checked(folder: Path) -> Path:
    """The first check of the tutorial, in a folder of its own."""
    text = (HERE / "tutorial.md").read_text(encoding="utf-8")
    line = next(line.split() for line in text.splitlines() if line.startswith("    lossparity check"))
    shutil.copy(HERE.parent / "examples" / "kernel.py", folder)
    found = subprocess.run([*CLI, *line[1:], "--out", "check"], cwd=folder).returncode
    if found != 1:
        sys.exit(f"the tutorial's first check ended with {found}, not with 1")
    return folder / "check"


def _taken(page: Page, file: Path, picture: Path, section: str = "") -> None:
    page.goto(file.as_uri())
    if section:
        top = page.get_by_role("heading", name=section).first.evaluate("it => it.getBoundingClientRect().top")
        page.evaluate(f"scrollBy({{top: {top} - 60, behavior: 'instant'}})")
    page.screenshot(path=picture)
    print(picture)


if __name__ == "__main__":
    main()
