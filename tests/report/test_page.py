import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from example_run import HOSTILE, keep, TEST

from counterplay.errors import RunError
from counterplay.game import Columns
from counterplay.report import build, save_figures


class Structure(HTMLParser):
    """Which elements there are, and whether they nest."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.seen if name == tag]


def page(folder, data=None) -> str:
    path = build(folder, data=data)
    assert path == folder / "report.html"
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def text(complete, data, tmp_path_factory) -> str:
    """The page of the complete run."""
    folder = shutil.copytree(complete, tmp_path_factory.mktemp("page") / complete.name)
    return page(folder, data)


def test_a_complete_page_shows_every_part(text):
    for part in (
        "Attributable.", "What 40 instances did to a model", "300 moves of 8 instances",
        "10 % were replaced on purpose", "before cleansing", "after cleansing", "The instances",
        "digit-39.png", "planted", "advantage of influence", "precision at 4", "taken back",
        "The complete recipe", "What influence means here", "Lower is better",
    ):  # fmt: skip
        assert part in text, part
    assert "makes this part" not in text
    assert (
        len(Structure(text).all("svg")) == 5
    )  # the curve of the metric that chose is not shown


def test_the_page_is_well_formed_and_described(text):
    seen = Structure(text)
    ids = [attrs["id"] for _, attrs in seen.seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all("alt" in image for image in seen.all("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in seen.all("svg"))
    assert {
        "name": "viewport",
        "content": "width=device-width, initial-scale=1",
    } in seen.all("meta")
    assert seen.all("html") == [{"lang": "en"}]


def test_the_page_asks_the_network_for_nothing(text):
    named = text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert not re.search(r"https?:|//[a-z]+\.", named)
    seen = Structure(text)
    assert all(image.get("src", "data:").startswith("data:") for image in seen.all("img"))
    assert not seen.all("link")
    assert "default-src 'none'" in text


def test_ids_are_escaped(text):
    assert HOSTILE not in text
    assert "\\u003cb>.png" in text  # in the JSON of the gallery


def test_a_recipe_cannot_smuggle_markup(tmp_path):
    hostile = '[data]\nname = "</pre><script>alert(1)</script>"\n'
    (tmp_path / "run.toml").write_text(hostile)
    assert "<script>alert" not in page(tmp_path)


def test_a_run_that_is_not_attributable_says_so_first(folder, wrong):
    keep(folder, "run.toml", "influence_0.npz")
    (folder / "verify.json").write_text(json.dumps(wrong))
    text = page(folder)
    assert text.index("<h2>Not attributable</h2>") < text.index('class="lead">The game')
    assert "What would help" in text
    assert "a lower learning rate" in text
    assert "do not act on this ranking" in text
    assert '"attributable":false' in text


def test_an_unverified_ranking_is_called_a_guess(folder):
    keep(folder, "influence_0.npz")
    text = page(folder)
    assert "treat it as a guess" in text
    assert "<code>counterplay verify</code>" in text


def test_an_empty_folder_names_the_commands(tmp_path):
    text = page(tmp_path)
    for verb in ("play", "trace", "verify", "cleanse"):
        assert f"<code>counterplay {verb}</code> makes this part" in text
    assert "Were the planted" not in text
    Structure(text)


@pytest.mark.parametrize(
    "kept",
    [
        ("log.jsonl", "scores.csv", "detection.json", "rounds.json"),
        ("run.toml", "influence_0.npz", "fakes_000300.png"),
        ("verify.json", "fakes.png"),
        ("cleansing.json", "reals.png"),
    ],
)
def test_any_file_may_be_missing(folder, data, kept):
    keep(folder, *kept)
    Structure(page(folder, data))


def test_one_seed_gives_no_test(folder, cleansing):
    keep(folder)
    one = {**cleansing, "seeds": cleansing["seeds"][:1]}
    (folder / "cleansing.json").write_text(json.dumps(one))
    assert "One seed gives neither an interval nor a test" in page(folder)


def test_without_pictures_the_page_says_why(folder):
    keep(folder, "influence_0.npz")
    assert "instances are shown by id only" in page(folder)


def test_other_kinds_of_data_have_pictures_too(folder, data):
    keep(folder, "influence_0.npz")
    points = replace(data, tensors={"x": torch.randn(len(data), 2)}, kind="point")
    assert page(folder, points).count("data:image/svg+xml") >= 40


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 64), (3, 128)])
def test_a_thousand_pictures_stay_below_five_mebibytes(folder, influence, channels, side):
    n = 3_000
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, channels, side // 4, side // 4, generator=random)
    x = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear") * 2 - 1
    x += 0.1 * torch.randn(x.shape, generator=random)
    gradient = torch.randn(n, generator=random, dtype=torch.float64)
    many = replace(
        influence,
        gradient=gradient,
        weights=torch.ones(n, dtype=torch.float64),
        ids=tuple(f"a-folder-of-images/{i}.png" for i in range(n)),
        by_stretch=gradient.expand(20, n) / 20,
        stretches=tuple(range(0, 315, 15)),
    )
    for i in range(2):
        replace(many, metric=f"valid_recall_a_{i}").save(folder / f"influence_{i}.npz")
    (folder / "scores.csv").unlink()
    data = Columns({"x": x}, many.ids, kind="image")
    path = build(folder, data=data, samples=x[:256], n_instances=1_000)
    assert path.read_text().count('"removal":') == 1_000
    assert path.stat().st_size < 5 * 1024**2


def test_new_grids_are_shown_when_they_are_there(folder):
    assert "from one latent to another" not in page(folder)
    for name in (
        "interpolations_000300",
        "reconstructions_000000",
        "reconstructions_000300",
    ):
        shutil.copy(folder / "fakes_000300.png", folder / f"{name}.png")
    text = page(folder)
    assert text.count("<figcaption>from one latent to another") == 1
    assert text.count("<figcaption>validation images") == 1


def test_the_page_goes_where_it_is_wanted(folder, tmp_path):
    assert build(folder, out=tmp_path / "there.html") == tmp_path / "there.html"
    assert (tmp_path / "there.html").exists()
    assert not (folder / "report.html").exists()


def test_figures_are_written_beside_the_page(folder):
    names = {path.relative_to(folder).as_posix() for path in save_figures(folder)}
    assert {
        "figures/training.svg",
        "figures/verify_0.png",
        f"figures/cleansing_{TEST}.svg",
    } <= names


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(RunError, match="There is no run folder"):
        build(tmp_path / "nowhere")
