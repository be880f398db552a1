"""The addresses of a review and what they answer."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from counterplay.errors import ConfigError, CounterplayError
from counterplay.report import words
from counterplay.report.pictures import is_pixelated
from counterplay.review.exports import export, offered
from counterplay.review.guard import Guard, TooLargeError
from counterplay.review.instances import Instances, Picture
from counterplay.review.marks import LONGEST_NOTE, Marks
from counterplay.review.retraining import Retraining


UNCHANGING = {"Cache-Control": "private, max-age=86400, immutable"}
ASSETS = {  # address: its type, and the files it is made of
    "style.css": ("text/css", ("report/page.css", "review/review.css")),
    **{
        f"{name}.js": ("text/javascript", (f"review/{name}.js",))
        for name in ("review", "server", "grid", "detail", "retraining", "words")
    },
}


def site(
    instances: Instances, marks: Marks, retraining: Retraining, *, token: str, port: int
) -> Guard:
    """The application that shows and changes a review.

    Args:
        instances: What is reviewed.
        marks: What is said of it.
        retraining: Who retrains.
        token: The secret that every path begins with.
        port: Where the server listens.

    Returns:
        An ASGI application that answers nobody else than its own page.
    """
    desk = _Desk(instances, marks, retraining)
    routes = [
        Route("/", desk.page),
        Route("/instances", desk.table),
        Route("/thumbnail/{row}", desk.thumbnail),
        Route("/picture/{row}", desk.picture),
        Route("/about/{row}", desk.about),
        Route("/state", desk.state),
        Route("/mark", desk.mark, methods=["POST"]),
        Route("/note", desk.note, methods=["POST"]),
        Route("/undo", desk.undo, methods=["POST"]),
        Route("/retrain", desk.retrain, methods=["POST"]),
        Route("/cancel", desk.cancel, methods=["POST"]),
        Route("/grid/{which}", desk.grid),
        Route("/export/{name}", desk.export),
        Route("/{asset}", desk.asset),
    ]
    refusals: Mapping[Any, Callable[[Request, Exception], Response]] = {
        CounterplayError: _explained,
        TooLargeError: lambda request, error: PlainTextResponse("Too large.", 413),
    }

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        retraining.cancel()  # nobody would see how it ends

    app = Starlette(routes=routes, exception_handlers=refusals, lifespan=lifespan)
    app.router.redirect_slashes = False
    return Guard(app, token=token, port=port)


class _Desk:
    """One method per address; the plain ones are called in threads."""

    def __init__(self, instances: Instances, marks: Marks, retraining: Retraining):
        self.instances, self.marks, self.retraining = instances, marks, retraining

    def page(self, request: Request) -> Response:
        run = self.instances.run
        text = _environment().get_template("review.html").render(
            name=run.folder.resolve().name,
            n=len(self.instances),
            pixelated=is_pixelated(self.instances.data["x"], self.instances.data.kind),
            metrics=self.instances.metrics,
            classes=self.instances.classes,
            planted=self.instances.planted is not None,
            copies=bool(self.instances.copies),
            exports=offered(self.instances),
            longest=LONGEST_NOTE,
        )  # fmt: skip
        return HTMLResponse(text)

    def table(self, request: Request) -> Response:
        return _json(self.instances.table())

    def thumbnail(self, request: Request) -> Response:
        return _picture(self.instances.thumbnail(self._row(request)))

    def picture(self, request: Request) -> Response:
        return _picture(self.instances.picture(self._row(request)))

    def about(self, request: Request) -> Response:
        return _json(self.instances.about(self._row(request)))

    def state(self, request: Request) -> Response:
        return self._state(request)

    async def mark(self, request: Request) -> Response:
        asked = await _asked(request, rows=list, mark=str)
        if not all(type(row) is int for row in asked["rows"]):
            raise HTTPException(400, "`rows` are numbers.")
        await run_in_threadpool(self.marks.mark, asked["rows"], asked["mark"])
        return self._state(request)

    async def note(self, request: Request) -> Response:
        asked = await _asked(request, row=int, text=str)
        await run_in_threadpool(self.marks.note, asked["row"], asked["text"])
        return self._state(request)

    async def undo(self, request: Request) -> Response:
        undone = await run_in_threadpool(self.marks.undo)
        return self._state(request, undone=undone)

    def retrain(self, request: Request) -> Response:
        ids = self.instances.data.ids
        chosen = [ids[row] for row in self.marks.rows("remove")]
        if not self.retraining.start(chosen):
            raise HTTPException(
                409,
                "Nothing is marked to be removed."
                if not chosen
                else "A retraining is running. Wait for it, or cancel it.",
            )
        return self._state(request)

    def cancel(self, request: Request) -> Response:
        self.retraining.cancel()
        return self._state(request)

    def grid(self, request: Request) -> Response:
        which = request.path_params["which"]
        path = self.retraining.grid(which) if which in ("before", "after") else None
        if path is None:
            raise HTTPException(404, "There are no samples.")
        return FileResponse(path, headers={"Cache-Control": "no-store"})

    def export(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in offered(self.instances):
            raise HTTPException(404, "There is no such export.")
        path = export(name, self.instances, self.marks)
        return FileResponse(path, filename=name, headers={"Cache-Control": "no-store"})

    def asset(self, request: Request) -> Response:
        if request.path_params["asset"] not in ASSETS:
            raise HTTPException(404, "There is nothing here.")
        media, names = ASSETS[request.path_params["asset"]]
        package = resources.files("counterplay")
        text = "\n".join((package / name).read_text("utf-8") for name in names)
        return Response(text, media_type=media, headers={"Cache-Control": "no-cache"})

    def _row(self, request: Request) -> int:
        """The row that a path names.

        Raises:
            HTTPException: If there is none; nothing else of the path is looked at.
        """
        row = _number(request.path_params["row"])
        if row is None or row >= len(self.instances):
            raise HTTPException(404, "There is no such instance.")
        return row

    def _state(self, request: Request, **more: Any) -> Response:
        """What has changed since the revision that the page knows."""
        known = _number(request.query_params.get("since", ""))
        newer = self.marks.since(-1 if known is None else known)
        changed = {row: [opinion.mark, opinion.note] for row, opinion in newer.items()}
        return _json({
            "revision": self.marks.revision,
            "changed": changed,
            "undoable": self.marks.undoable,
            "retraining": self.retraining.snapshot(),
            **more,
        })  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("counterplay", "review"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = words.coded
    return environment


def _number(text: str) -> int | None:
    """A number of up to nine digits; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


async def _asked(request: Request, **kinds: type) -> dict[str, Any]:
    """The object that a request holds.

    Raises:
        HTTPException: If it is no object with these entries of these kinds.
    """
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):  # bytes that are no text, too
        found = None
    if (
        isinstance(found, dict)
        and found.keys() == kinds.keys()
        and all(type(found[name]) is kind for name, kind in kinds.items())
    ):
        return found
    raise HTTPException(400, f"The request must be an object with {', '.join(kinds)}.")


def _explained(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 400 if isinstance(error, ConfigError) else 507)


def _json(value: Any) -> Response:
    # ASCII, because names of files may hold what no text can.
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Response(
        text, media_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _picture(picture: Picture) -> Response:
    media, content = picture
    return Response(content, media_type=media, headers=UNCHANGING)
