"""A real browser for the pages: Debian's `chromium`, steered by Playwright.

Where one of the two is not there, the tests are skipped and say what to install. Every test
fails on an error in the browser's console. `COUNTERPLAY_SCREENSHOTS=docs/images pytest
tests/browser` takes the pictures of the documentation again.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
AXE = "axe-core@4.14.1"


# One per file, not one for all: while it is there, its event loop fills the main thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser.

    Yields:
        It.
    """
    api = pytest.importorskip(
        "playwright.sync_api", reason='no Playwright: `pip install "counterplay[test]"`'
    )
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no browser: `apt-get install chromium`")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        api.expect.set_options(timeout=30_000)  # a busy machine is slow, not wrong
        yield browser
        browser.close()


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Any]]:
    """Opens a profile of its own, with the options of Playwright's `new_context`.

    Yields:
        A function that opens one.
    """
    contexts, faults = [], []

    def note(message):
        if message.type == "error":
            faults.append(message.text)

    def opened(**options):
        context = browser.new_context(**options)
        context.set_default_timeout(30_000)
        context.on("console", note)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        contexts.append(context)
        return context

    yield opened
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def context(visit) -> Any:
    """A profile; its pages share cookies, as two tabs do."""
    return visit(viewport={"width": 1280, "height": 900})


@pytest.fixture
def page(context) -> Any:
    """An empty page."""
    return context.new_page()


@pytest.fixture(scope="session")
def axe(pytestconfig) -> Callable[[Any], list[str]]:
    """Finds serious faults of accessibility in a page, by the npm package axe-core."""
    folder = Path(pytestconfig.cache.mkdir("axe"))
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no axe-core, and no npm to fetch it with")
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", folder, AXE]
        fetched = subprocess.run(command, check=False, capture_output=True, text=True)
        if fetched.returncode:
            pytest.skip(f"npm could not fetch axe-core: {fetched.stderr.strip()[-200:]}")

    def faults(page: Any) -> list[str]:
        page.evaluate(script.read_text())
        found = page.evaluate("axe.run(document)")["violations"]
        return [
            f"{fault['id']}: {node['html'][:200]}: {node['failureSummary']}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]

    return faults


@pytest.fixture
def photograph() -> Callable[..., None]:
    """Keeps a picture of a page for the documentation, if it is asked for."""
    folder = os.environ.get("COUNTERPLAY_SCREENSHOTS")

    def take(page: Any, name: str, **options: Any) -> None:
        if folder is None:
            return
        path = Path(folder) / f"{name}.png"
        page.screenshot(path=path, animations="disabled", **options)
        with Image.open(path) as picture:
            smaller = picture.convert("RGB")
        smaller.save(path, optimize=True)

    return take
