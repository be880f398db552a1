"""The review in a browser, as a person uses it: by mouse, by keys, in two tabs."""

import contextlib
import json
import threading

import pytest
import torch
import uvicorn
from long_tasks import watching

from counterplay.__main__ import main
from counterplay._influence import Influence
from counterplay.cli._folder import RunFolder
from counterplay.game import Columns
from counterplay.report import records
from counterplay.report.records import Run
from counterplay.review.instances import Instances
from counterplay.review.marks import Marks
from counterplay.review.retraining import Retraining
from counterplay.review.server import _listening
from counterplay.review.site import site


api = pytest.importorskip(
    "playwright.sync_api", reason='no Playwright: `pip install "counterplay[test]"`'
)
expect = api.expect
HOSTILE = "<img src=x onerror=alert(1)>.png"
N, MANY = 60, 5_000
SMOOTH_MS = 100
RECIPE = """
[data]
name = "digits"
[corrupt]
kind = "noise"
fraction = 0.1
[nets]
name = "mlp"
width = 8
[game]
name = "gan"
[play]
n_steps = 40
batch_size = 16
[metric]
names = ["frechet"]
n = 64
"""


@contextlib.contextmanager
def served(instances):
    """Serve a review from a thread.

    Yields:
        Its address.
    """
    folder = instances.run.folder
    with _listening(0) as listening:
        port = listening.getsockname()[1]
        marks = Marks(folder / "review.json", instances.data.ids)
        app = site(instances, marks, Retraining(instances.run), token="token", port=port)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/token/"
        finally:
            server.should_exit = True
            thread.join()


def run_of(data, folder):
    """A run with two metrics that were traced, of which there is nothing but the scores."""
    effects = torch.randn(
        2, len(data), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    weights = torch.ones(len(data), dtype=torch.float64)
    influences = tuple(
        Influence(name, higher, 1.0, gradient, weights, data.ids, "Unroll(last=None)")
        for name, higher, gradient in zip(
            ("valid_frechet_identity_64", "valid_inception_score_identity_64"),
            (False, True),
            effects,
            strict=True,
        )
    )
    scores = [{"id": name, "planted": str(i % 10 == 0)} for i, name in enumerate(data.ids)]
    return Run(folder, {}, [], influences, scores, [], {}, {}, [])


def images_of(n):
    x = torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x[1] = x[0]
    ids = (HOSTILE, *(f"many/{i:04d}.png" for i in range(1, n)))
    return Columns({"x": x, "y": torch.arange(n) % 3}, ids, "image", ("a", "b", "c"))


@pytest.fixture
def instances(tmp_path):
    data = images_of(N)
    return Instances(run_of(data, tmp_path), data)


@pytest.fixture
def address(instances):
    with served(instances) as address:
        yield address


@pytest.fixture
def review(address, page):  # in this order: the page is closed before the server is
    """The page, ready."""
    return opened(page, address)


@contextlib.contextmanager
def reviewing(page, instances):
    """Open the page of other instances.

    Yields:
        The page.
    """
    with served(instances) as address:
        yield opened(page, address)
        page.close()


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A run folder that was played and traced."""
    folder = tmp_path_factory.mktemp("browser")
    with contextlib.chdir(folder):
        (folder / "recipe.toml").write_text(RECIPE)
        assert main(["play", "--from", "recipe.toml", "--out", "run"]) == 0
        assert main(["trace", "run", "--instances", "2"]) == 0
    return folder / "run"


def opened(page, address):
    page.goto(address)
    expect(page.locator("body[data-ready]")).to_be_attached()
    return page


def tiles(page):
    return page.locator("#grid button")


def names(page, n=5):
    return [tile.get_attribute("title") for tile in tiles(page).all()[:n]]


def saved(instances):
    path = instances.run.folder / "review.json"
    return json.loads(path.read_text())["instances"] if path.exists() else {}


def ranked(instances, metric=0, *, helpful=False):
    harm = instances.run.influences[metric].harm
    return [instances.data.ids[i] for i in harm.argsort(descending=not helpful).tolist()]


def test_the_most_harmful_come_first_with_their_pictures(review, instances):
    assert names(review) == ranked(instances)[:5]
    expect(review.locator("#shown")).to_have_text(f"{N} of {N} shown")
    first = tiles(review).first.locator("img")
    expect(first).to_have_js_property("complete", True)
    assert first.evaluate("image => image.naturalWidth") == 16


def test_a_hostile_name_is_shown_as_text(review):
    review.locator("#search").fill("onerror")
    expect(review.locator("#shown")).to_have_text(f"1 of {N} shown")
    expect(tiles(review).locator(".id")).to_have_text(HOSTILE)
    tiles(review).first.click()
    expect(review.locator("#detail-id")).to_have_text(HOSTILE)
    assert review.locator("img[src=x]").count() == 0


def test_filters_narrow_the_selection_and_sorting_orders_it(review, instances):
    shown = review.locator("#shown")
    n_harmful = int((instances.run.influences[0].harm > 0).sum())
    review.locator("#effect").select_option("harmful")
    expect(shown).to_have_text(f"{n_harmful} of {N} shown")
    review.locator("#effect").select_option("everywhere")
    both = int(
        (
            (instances.run.influences[0].harm > 0) & (instances.run.influences[1].harm > 0)
        ).sum()
    )
    expect(shown).to_have_text(f"{both} of {N} shown")
    review.locator("#effect").select_option("disputed")
    review.locator("#effect").select_option("")
    review.locator("#label").select_option("b")
    expect(shown).to_have_text(f"20 of {N} shown")
    review.locator("#planted").select_option("yes")
    expect(shown).to_have_text(f"2 of {N} shown")
    review.locator("#label").select_option("any")
    review.locator("#planted").select_option("any")
    review.locator("#copies").select_option("yes")
    assert set(names(review)) == {HOSTILE, "many/0001.png"}
    review.locator("#copies").select_option("any")
    review.locator("#sort").select_option("helpful")
    assert names(review) == ranked(instances, helpful=True)[:5]
    review.locator("#sort").select_option("id")
    assert names(review, 3) == [HOSTILE, "many/0001.png", "many/0002.png"]
    review.locator("#sort").select_option("harmful")
    review.locator("#metric").select_option(index=1)
    assert names(review) == ranked(instances, metric=1)[:5]


def test_marks_are_saved_at_once_undone_and_there_after_a_reload(review, instances):
    first, second = ranked(instances)[:2]
    tiles(review).first.click()
    detail = review.locator("#detail")
    detail.get_by_role("button", name="Remove").click()
    expect(detail.get_by_role("button", name="Remove")).to_have_attribute(
        "aria-pressed", "true"
    )
    assert saved(instances) == {first: ["remove", ""]}
    detail.get_by_role("button", name="Next").click()
    expect(review.locator("#detail-id")).to_have_text(second)
    detail.get_by_label("Note").fill("a blur")
    detail.get_by_role("button", name="Close").click()
    expect(review.locator("#said")).to_have_text(f"{second}: note saved")
    assert saved(instances) == {first: ["remove", ""], second: ["", "a blur"]}
    review.reload()
    expect(review.locator("#n-remove")).to_have_text("1")
    expect(tiles(review).first).to_have_attribute("data-mark", "remove")
    review.locator("#undo").click()
    expect(review.locator("#said")).to_have_text(f"Undone: note to {second}")
    review.locator("#undo").click()
    expect(review.locator("#n-remove")).to_have_text("0")
    expect(review.locator("#undo")).to_be_disabled()
    assert saved(instances) == {}


def test_the_most_harmful_are_marked_at_once_and_undone_at_once(review, instances):
    review.locator("#label").select_option("a")
    review.locator("#n-first").fill("7")
    review.get_by_role("button", name="Mark", exact=True).click()
    expect(review.locator("#n-remove")).to_have_text("7")
    wanted = [
        name
        for name in ranked(instances)
        if instances.data.labels[instances.data.ids.index(name)] == "a"
    ]
    assert set(saved(instances)) == set(wanted[:7])
    review.locator("#undo").click()
    expect(review.locator("#n-remove")).to_have_text("0")


def test_everything_is_done_by_keys_alone(review, instances):
    order = ranked(instances)
    press = review.keyboard.press
    review.locator("#search").focus()
    while not review.evaluate("document.activeElement.closest('#grid')"):
        press("Tab")
    press("r")
    expect(tiles(review).first).to_have_attribute("data-mark", "remove")
    press("ArrowRight")
    press("k")
    expect(review.locator("#n-keep")).to_have_text("1")
    press("End")
    expect(review.locator(":focus")).to_have_attribute("title", order[-1])
    press("Home")
    press("ArrowDown")
    press("ArrowUp")
    expect(review.locator(":focus")).to_have_attribute("title", order[0])
    press("Enter")
    expect(review.locator("#detail")).to_be_visible()
    press("ArrowRight")
    press("ArrowRight")
    expect(review.locator("#detail-id")).to_have_text(order[2])
    press("u")
    expect(review.locator("#n-unsure")).to_have_text("1")
    press("n")
    review.keyboard.type("right or 0k?")  # no key of it is a mark
    press("Escape")
    expect(review.locator(":focus")).to_have_attribute("title", order[2])
    expect(review.locator("#said")).to_contain_text("note saved")
    assert saved(instances) == {
        order[0]: ["remove", ""],
        order[1]: ["keep", ""],
        order[2]: ["unsure", "right or 0k?"],
    }
    press("z")
    press("0")
    expect(review.locator("#n-unsure")).to_have_text("0")
    expect(review.locator("#said")).to_have_text(f"{order[2]}: no mark")
    assert saved(instances).keys() == set(order[:2])


def test_the_focus_goes_on_when_a_filter_takes_its_instance_away(review, instances):
    order = ranked(instances)
    review.locator("#mark").select_option("none")
    tiles(review).first.focus()
    review.keyboard.press("r")
    expect(review.locator(":focus")).to_have_attribute("title", order[1])
    review.keyboard.press("r")
    expect(review.locator(":focus")).to_have_attribute("title", order[2])
    assert saved(instances).keys() == set(order[:2])


def test_two_tabs_learn_of_each_other_and_lose_nothing(review, context, address, instances):
    other = opened(context.new_page(), address)
    for place in range(3):
        tiles(review).nth(2 * place).focus()
        review.keyboard.press("r")
        expect(review.locator("#n-remove")).to_have_text(f"{place + 1}")
        tiles(other).nth(2 * place + 1).focus()
        other.keyboard.press("k")
        expect(other.locator("#n-remove")).to_have_text(f"{place + 1}")
        expect(other.locator("#n-keep")).to_have_text(f"{place + 1}")
    for page in (review, other):
        page.bring_to_front()
        expect(page.locator("#n-remove")).to_have_text("3")
        expect(page.locator("#n-keep")).to_have_text("3")
    assert len(saved(instances)) == 6
    review.locator("#undo").click()
    expect(other.locator("#n-keep")).to_have_text("2")


def test_neighbours_lead_on(review):
    review.locator("#search").fill("0001.png")
    tiles(review).first.click()
    near = review.locator("#near button")
    expect(near).to_have_count(6)
    expect(near.first).to_have_attribute("title", HOSTILE)  # its copy
    near.first.click()
    expect(review.locator("#detail-id")).to_have_text(HOSTILE)


def test_exports_are_downloaded(review, instances):
    tiles(review).first.focus()
    review.keyboard.press("r")
    expect(review.locator("#n-remove")).to_have_text("1")
    review.get_by_text("Export", exact=True).click()
    with review.expect_download() as download:
        review.get_by_role("link", name="removed.txt").click()
    assert download.value.path().read_text() == ranked(instances)[0] + "\n"
    expect(review.get_by_role("link", name="removed.txt")).to_be_hidden()
    review.get_by_text("Export", exact=True).press("Enter")
    review.keyboard.press("Tab")
    expect(review.locator(":focus")).to_have_text("review.csv")
    review.keyboard.press("Escape")
    expect(review.locator(":focus")).to_have_text("Export")


def test_the_end_of_the_server_is_said(browser, instances):
    page = browser.new_page()  # not `page`, which may have no error in its console
    with served(instances) as address:
        opened(page, address)
    tiles(page).first.focus()
    page.keyboard.press("r")
    expect(page.locator("#fault")).to_contain_text("The review has ended")
    page.close()


def test_what_is_marked_is_retrained_with_progress_and_shown_side_by_side(page, played):
    folder = RunFolder.open(played)
    with reviewing(page, Instances(records.read(played), folder.data)) as review:
        review.locator("#n-first").fill("6")
        review.get_by_role("button", name="Mark", exact=True).click()
        review.get_by_role("button", name="Retrain without 6").click()
        expect(review.locator("#retraining-text")).to_contain_text(
            "Playing without 6 instances"
        )
        review.reload()
        expect(review.locator("#retraining")).to_be_visible()
        expect(review.locator("#retrain")).to_be_disabled()
        expect(review.locator("#retraining-text")).to_contain_text(
            "Played again", timeout=120_000
        )
        rows = review.locator("#retraining tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(0)).to_contain_text("validation")
        expect(rows.nth(1)).to_contain_text("test")
        for which in ("before", "after"):
            image = review.locator(f"[data-grid={which}]")
            expect(image).to_be_visible()
            assert (
                image.evaluate("image => image.decode().then(() => image.naturalWidth)")
                > 100
            )
        expect(review.locator("#retrain")).to_be_enabled()
        review.reload()
        expect(rows).to_have_count(2)


def test_a_retraining_is_cancelled(page, played):
    folder = RunFolder.open(played)
    with reviewing(page, Instances(records.read(played), folder.data)) as review:
        tiles(review).first.focus()
        review.keyboard.press("r")
        review.locator("#retrain").click()
        review.locator("#cancel").click()
        expect(review.locator("#retraining-text")).to_contain_text("Cancelled")
        expect(review.locator("#retrain")).to_be_enabled()


def test_thousands_of_instances_scroll_smoothly(page, tmp_path):
    data = images_of(MANY)
    instances = Instances(run_of(data, tmp_path), data)
    with reviewing(page, instances) as review:
        expect(review.locator("#shown")).to_have_text("5,000 of 5,000 shown")
        with watching(review) as tasks:
            walk(review, ranked(instances)[-1])
        print(f"longest task: {max(tasks):.0f} ms")
        assert max(tasks) < SMOOTH_MS


def walk(review, last):
    """Scroll, jump, sort and search."""
    review.mouse.move(600, 700)
    for _ in range(30):
        review.mouse.wheel(0, 900)
        review.evaluate("new Promise(requestAnimationFrame)")
    assert tiles(review).count() < 300
    review.evaluate("scrollTo({ top: document.body.scrollHeight, behavior: 'instant' })")
    expect(tiles(review).last).to_have_attribute("title", last)
    for sort in ("id", "harmful"):
        review.locator("#sort").select_option(sort)
    for part in ("99", ""):
        review.locator("#search").fill(part)
    review.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    expect(tiles(review).first).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_out(address, visit, axe, scheme):
    page = opened(visit(color_scheme=scheme).new_page(), address)
    tiles(page).first.focus()
    page.keyboard.press("r")
    expect(page.locator("#said")).not_to_be_empty()
    assert axe(page) == []
    page.keyboard.press("Enter")
    expect(page.locator("#near button")).to_have_count(6)
    assert axe(page) == []
    page.keyboard.press("Escape")
    page.locator("#help").click()
    assert axe(page) == []


def test_a_phone_shows_it_without_scrolling_sideways(address, visit):
    page = opened(visit(viewport={"width": 360, "height": 740}).new_page(), address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    tiles(page).first.click()
    expect(page.locator("#near button")).to_have_count(6)
    box = page.locator("#detail").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360


def test_another_page_of_this_machine_cannot_read_it(address, browser):
    page = browser.new_page()
    page.route(
        "http://127.0.0.1:9/",
        lambda route: route.fulfill(body="<p>elsewhere", content_type="text/html"),
    )
    page.goto("http://127.0.0.1:9/")
    seen = page.evaluate(
        "url => fetch(url, { mode: 'no-cors' }).then(() => 'read', () => 'refused')",
        f"{address}state",
    )
    assert seen == "refused"
