"""Runs every Python block of the pages when the site is built, and shows what it prints.

The blocks of a page share their names, as the cells of a notebook do, and work in an empty
folder of their own. A block behind a comment `<!-- not run: the reason -->` is shown only.
An example that fails stops the build.
"""

import ast
import contextlib
import functools
import io
import os
import re
import tempfile
import warnings

from mkdocs.exceptions import PluginError


BLOCK = re.compile(
    r"(?P<skip><!-- not run: .+? -->\n)?(?P<block>^```python\n(?P<code>.*?)^```\n?)",
    re.DOTALL | re.MULTILINE,
)


def on_page_markdown(markdown, page, **_):
    """Put what the blocks of a page print behind them."""
    codes = tuple(match["code"] for match in BLOCK.finditer(markdown) if not match["skip"])
    found = iter(outputs(page.file.src_uri, codes) if codes else ())

    def shown(match):
        if match["skip"]:
            return match["block"]
        printed = next(found)
        if not printed:
            return match["block"]
        fence = '```{ .text .output title="Output" }'
        return f"{match['block']}\n{fence}\n{printed}\n```\n"

    return BLOCK.sub(shown, markdown)


@functools.cache  # `mkdocs serve` builds again and again
def outputs(name: str, codes: tuple[str, ...]) -> tuple[str, ...]:
    """What the blocks of a page print, and the value of a last expression.

    Args:
        name: The page, for the message of an error.
        codes: The blocks, in order.

    Raises:
        PluginError: If one fails.
    """
    names: dict[str, object] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return tuple(
            output(f"{name}, block {number}", code, names)
            for number, code in enumerate(codes, start=1)
        )


def output(where: str, code: str, names: dict[str, object]) -> str:
    """Run one block among `names`, which it adds to.

    Raises:
        PluginError: If it fails.
    """
    tree, printed = ast.parse(code), io.StringIO()
    last = tree.body[-1].value if isinstance(tree.body[-1], ast.Expr) else None
    if last is not None:
        tree.body.pop()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            exec(compile(tree, where, "exec"), names)
            if last is not None:
                value = eval(compile(ast.Expression(last), where, "eval"), names)
                if value is not None:
                    print(repr(value))
    except Exception as error:
        raise PluginError(
            f"The example of {where} failed: {type(error).__name__}: {error}\n\n{code}\n"
            "Mend it, or put `<!-- not run: the reason -->` on the line above."
        ) from error
    return printed.getvalue().rstrip()


os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is loaded: the same digits
