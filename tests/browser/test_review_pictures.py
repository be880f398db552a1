"""The pictures of `docs/review.md`, taken when `COUNTERPLAY_SCREENSHOTS` names their folder."""

import contextlib
import os
from importlib import resources

import pytest
from test_review_page import opened, served, tiles

from counterplay import cli
from counterplay.__main__ import main
from counterplay.cli._folder import RunFolder
from counterplay.report import records
from counterplay.review.instances import Instances


pytestmark = pytest.mark.skipif(
    "COUNTERPLAY_SCREENSHOTS" not in os.environ, reason="nobody asked for pictures"
)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """What `counterplay run` plays on digits, with some noise among them."""
    folder = tmp_path_factory.mktemp("pictures")
    recipe = str(resources.files(cli) / "default.toml")
    noise = ["--set", "corrupt.kind=noise", "corrupt.fraction=0.05"]
    with contextlib.chdir(folder):
        assert main(["play", "--from", recipe, *noise, "--out", "0001-gan-digits"]) == 0
        assert main(["trace", "0001-gan-digits", "--instances", "32"]) == 0
    return folder / "0001-gan-digits"


def test_pictures(visit, played, photograph):
    folder = RunFolder.open(played)
    with served(Instances(records.read(played), folder.data)) as address:
        pose(visit, address, photograph)


def pose(visit, address, photograph):
    """Mark a few, look at one, retrain, and be seen by day and by night."""
    page = opened(visit(viewport={"width": 1280, "height": 860}).new_page(), address)
    tiles(page).first.focus()
    for key in ("r", "r", "k", "r", "u", "r"):
        page.keyboard.press(key)
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    page.locator("#n-unsure").get_by_text("1").wait_for()
    page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    settle(page)
    photograph(page, "review_grid")
    page.keyboard.press("Enter")
    page.locator("#near button").last.wait_for()
    page.get_by_label("Note").fill("a stroke is missing")
    settle(page)
    photograph(page, "review_detail")
    page.keyboard.press("Escape")
    phone = visit(
        viewport={"width": 390, "height": 844}, color_scheme="dark", device_scale_factor=2
    )
    night = opened(phone.new_page(), address)
    night.evaluate(
        "document.querySelector('#bulk').scrollIntoView({ behavior: 'instant' })"
    )
    settle(night)
    photograph(night, "review_phone")
    night.close()
    page.locator("#mark").select_option("none")
    page.locator("#n-first").fill("50")
    page.get_by_role("button", name="Mark", exact=True).click()
    page.locator("#retrain").click()
    page.locator("#retraining .pictures").wait_for(timeout=600_000)
    page.locator("#mark").select_option("any")
    page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    settle(page)
    photograph(page, "review_retrained")
    page.close()


def settle(page):
    """Wait until all pictures are there and what was said is gone."""
    page.locator("#said:empty").wait_for(state="attached")
    page.evaluate(
        "Promise.all([...document.images].filter((i) => i.src).map((i) => i.decode().catch(() => 0)))"
    )
