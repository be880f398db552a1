"""The report page in a real browser: opened from disk, filtered, sorted, read by keyboard."""

import json
from dataclasses import replace

import pytest
import torch

from counterplay._influence import Influence
from counterplay.game import Columns
from counterplay.report import build, compare, words


N, SHOWN = 1_500, 1_000
METRICS = {"valid_frechet_classifier_512": False, "valid_recall_classifier_512_k_3": True}
HOSTILE = "<img src=x onerror=alert(1)>.png"
LOG = (
    '{"step": 1, "loss_D": 1.5, "loss_G": 0.5}\n{"step": 9, "loss_D": 1.2, "loss_G": 0.7}\n'
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A traced run of images, two of which are the same."""
    folder = tmp_path_factory.mktemp("browser") / "0001-gan-images"
    folder.mkdir()
    random = torch.Generator().manual_seed(0)
    x = torch.rand(N, 1, 12, 12, generator=random) * 2 - 1
    x[1] = x[0]
    data = Columns(
        {"x": x, "y": torch.arange(N) % 10},
        (HOSTILE, *(f"image-{i}.png" for i in range(1, N))),
        kind="image",
        class_names=tuple("abcdefghij"),
    )
    gradient = torch.linspace(1, -1, N, dtype=torch.float64)
    influence = Influence(
        metric="",
        higher_is_better=False,
        value=3.0,
        gradient=gradient,
        weights=torch.ones(N, dtype=torch.float64),
        ids=data.ids,
        adjoint="Unroll(last=None)",
        by_stretch=gradient.expand(8, N) / 8,
        stretches=tuple(range(0, 810, 90)),
    )
    for i, (name, higher) in enumerate(METRICS.items()):
        sign = -1 if i else 1  # for every second instance the metrics disagree
        signs = torch.where(torch.arange(N) % 2 == 0, float(sign), 1.0)
        one = replace(influence, metric=name, higher_is_better=higher)
        replace(one, gradient=gradient * signs).save(folder / f"influence_{i}.npz")
    (folder / "log.jsonl").write_text(LOG)
    build(folder, data=data, samples=x[:64].flip(-1), n_instances=SHOWN)
    return folder


@pytest.fixture
def opened(page, run):
    """The page, opened from disk; it may ask no network for anything.

    Yields:
        The page.
    """
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto((run / "report.html").as_uri())
    page.wait_for_selector("#tiles .tile")
    yield page
    local = ("file:", "data:")
    assert [url for url in page.asked if not url.startswith(local)] == []


def said(page):
    return page.inner_text("#shown")


def test_it_opens_and_shows_the_most_harmful_first(opened):
    assert "of the 1,000 on this page, of 1,500 in all" in said(opened)
    first = opened.locator("#tiles .tile").first
    assert HOSTILE in first.text_content()  # as text
    assert f"{words.MINUS}1.00" in first.text_content()
    first.scroll_into_view_if_needed()
    decoded = "image => image.decode().then(() => image.naturalWidth)"
    assert opened.locator("#tiles img").first.evaluate(decoded) == 12


def test_filters_narrow_the_gallery_and_can_be_reset(opened):
    everything = opened.locator("#tiles .tile").count()
    opened.select_option("[name=label]", "c")
    assert 0 < opened.locator("#tiles .tile").count() < everything / 5
    opened.click("#filters >> text=Helpful")
    assert "+" in opened.locator(".score").first.text_content()
    opened.click("#filters >> text=Reset")
    opened.locator("#tiles .tile").nth(everything - 1).wait_for(state="attached")
    opened.check("[name=copies]")
    assert opened.locator("#tiles .tile").count() == 2
    opened.uncheck("[name=copies]")
    opened.click("#filters >> text=Both")
    opened.check("[name=agree]")
    agreeing = opened.locator("#tiles .tile").count()
    assert 0 < agreeing < SHOWN
    opened.fill("[name=id]", "image-14")
    assert opened.locator("#tiles .tile").count() < agreeing
    opened.fill("[name=id]", "nobody")
    assert said(opened).startswith("No instance")


def test_another_metric_gives_another_order(opened):
    second = opened.locator("#tiles .tile").nth(1)
    assert second.get_attribute("title") == "image-1.png"
    opened.select_option("[name=metric]", "1")
    assert second.get_attribute("title") != "image-1.png"


def test_it_can_be_read_by_keyboard_alone(opened):
    opened.focus("#tiles .tile")
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("ArrowUp")
    opened.keyboard.press("ArrowLeft")
    focus = opened.evaluate_handle("document.activeElement")
    assert focus.evaluate("node => node.title") == HOSTILE
    opened.keyboard.press("Enter")
    assert opened.inner_text("#detail-id") == HOSTILE
    assert "improves the Fréchet distance by 1.00" in opened.inner_text(".said")
    text = opened.inner_text(".about")
    for part in (
        "same bytes as",
        "image-1.png",
        "1 of 1,500",
        "When it acted",
        "Nearest of 64",
    ):
        assert part in text, part
    assert opened.locator(".epochs rect").count() == 8
    opened.keyboard.press("ArrowRight")
    second = opened.inner_text("#detail-id")
    assert second != HOSTILE
    opened.keyboard.press("Escape")
    assert not opened.evaluate("document.getElementById('detail').open")
    # The event that gives the focus back comes a moment after the dialog has closed.
    opened.wait_for_function("name => document.activeElement.title === name", arg=second)
    assert focus.evaluate("() => document.activeElement.title") == second


def test_a_neighbour_can_be_followed(opened):
    opened.click("#tiles .tile")
    opened.click(".near .tile >> nth=0")
    assert opened.inner_text("#detail-id") == "image-1.png"  # the same bytes


def test_tables_sort(page, tmp_path):
    for name, moves in (("a", 300), ("b", 40), ("c", 1_000)):
        (tmp_path / name).mkdir()
        row = {"step": 1, "valid_frechet_classifier_512": moves}
        (tmp_path / name / "log.jsonl").write_text(json.dumps(row) + "\n")
    path = compare.build([tmp_path / name for name in "abc"], out=tmp_path / "d.html")
    page.goto(path.as_uri())
    rows = page.locator("#metrics tbody tr th")
    heading = page.locator("#metrics thead button").nth(1)
    heading.focus()
    for order, direction in (("bac", "ascending"), ("cab", "descending")):
        page.keyboard.press("Enter")
        assert rows.all_inner_texts() == list(order)
        assert page.get_attribute("#metrics th:nth-child(2)", "aria-sort") == direction


def test_a_comparison_fits_a_phone_and_has_no_serious_fault(visit, run, axe, tmp_path):
    path = compare.build([run, run], out=tmp_path / "compare.html")
    page = visit(viewport={"width": 375, "height": 800}).new_page()
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert axe(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_it_fits_the_screen_and_has_no_serious_fault(visit, run, axe, scheme, width):
    view = {"width": width, "height": 900}
    page = visit(viewport=view, color_scheme=scheme, reduced_motion="reduce").new_page()
    page.goto((run / "report.html").as_uri())
    page.wait_for_selector("#tiles .tile")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert axe(page) == []
    page.click("#tiles .tile")
    assert axe(page) == []
    box = page.locator("#detail").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
