"""The pages: their commands exist, and what is executed when the site is built is executed."""

import functools
import importlib.util
import inspect
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import tyro

from counterplay.cli import _command


ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^```(.*?)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def commands_of(page):
    for language, block in FENCE.findall(page.read_text()):
        if language not in ("", "bash"):
            continue
        for line in block.replace("\\\n", "").splitlines():
            if not re.search(r"(^| )counterplay ", line) or "..." in line:
                continue
            words = shlex.split(line, comments=True)
            if "counterplay" in words[:3]:
                yield words[words.index("counterplay") + 1 :]


def building(name):
    """A module of docs/building, which is no package."""
    pytest.importorskip("mkdocs", reason="the site is built with the extra [docs]")
    path = DOCS / "building" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"building_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_is_one_that_the_command_line_takes(page):
    for verb, *options in commands_of(page):
        function = _command.function_of(verb)
        signature = functools.wraps(function)(lambda *args, **kwargs: None)
        tyro.cli(signature, args=options, config=(tyro.conf.FlagCreatePairsOff,))


def test_the_readme_and_the_first_page_show_the_same_ten_lines():
    found = [
        re.search(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
        for page in (ROOT / "README.md", DOCS / "index.md")
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0][1] == found[1][1]


def page(src_uri="page.md"):
    return SimpleNamespace(file=SimpleNamespace(src_uri=src_uri))


def test_blocks_of_a_page_share_names_and_show_what_they_print():
    run_blocks = building("run_blocks")
    text = "```python\na = 1\nprint('one')\n```\n\ntext\n\n```python\na + 1\n```\n"
    shown = run_blocks.on_page_markdown(text, page())
    assert shown.count('title="Output"') == 2
    assert "\none\n```" in shown
    assert shown.rstrip().endswith("\n2\n```")


def test_a_block_behind_a_reason_is_only_shown():
    run_blocks = building("run_blocks")
    text = "<!-- not run: it needs a cluster -->\n```python\n1 / 0\n```\n"
    assert run_blocks.on_page_markdown(text, page()) == "```python\n1 / 0\n```\n"


def test_a_block_that_fails_stops_the_build():
    run_blocks = building("run_blocks")
    with pytest.raises(
        run_blocks.PluginError, match=r"page.md, block 2 failed: ZeroDivisionError"
    ):
        run_blocks.on_page_markdown("```python\n1\n```\n```python\n1 / 0\n```\n", page())


def test_every_game_metric_and_detector_has_a_page_with_its_signature():
    reference = building("reference")
    for family, write in (
        (reference.games, reference.game),
        (reference.metrics, reference.metric),
        (reference.estimators, reference.detector),
    ):
        for name in family.names():
            text = write(name)
            assert text.startswith("# ")
            assert "::: counterplay." in text


def test_the_page_of_a_game_holds_what_its_file_says():
    text = building("reference").game("wgan_gp")
    assert "| **Source** | Gulrajani et al. 2017" in text
    assert "counterplay play --game wgan_gp" in text
    assert "| `wgan_gp` | G 16,576" in text
    assert "| `wgan_gp` | 2.724" in text  # from another table
    assert "| `cgan`" not in text
    assert "](../results.md#series)" in building("reference").game("mad_gan")


def test_names_in_tables_become_links():
    reference = building("reference")
    shown = reference.on_page_markdown("| `gan` | x |\n", page("games.md"))
    assert shown == "| [`gan`](games/gan.md) | x |\n"


def test_wrapping_a_network_of_your_own_takes_fewer_than_thirty_lines():
    for name, function in (("own_gan", "dcgan"), ("own_sngan", "sngan")):
        source = (ROOT / "examples" / f"{name}.py").read_text()
        wrapped = source.split("[start:game]\n")[1].split("# --8<-- [end:game]")[0]
        assert f"def {function}(" in wrapped
        assert len(inspect.cleandoc(wrapped).splitlines()) < 30
