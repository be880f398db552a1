"""Who may speak to the review: nobody but the page that it opened itself."""

import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


LIMIT = 1_000_000  # bytes of a request
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Lets through only requests with the token, from the page itself, of bounded size.

    The token is the first part of every path. So no browser sends it by itself, as it would
    a cookie, which all servers of this machine would share whatever their port.

    Attributes:
        app: Who answers; to it, the token is the root of all paths.
        token: The secret.
        port: Where the server listens.
        limit: Bytes that a request may hold.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int, limit: int = LIMIT):
        self.app, self.token, self.limit = app, token, limit
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or have it answered."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
            return
        await self.app(
            {**scope, "root_path": f"/{self.token}"},
            _Bounded(receive, self.limit),
            _with_headers(send),
        )

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if headers.get("host") not in self.hosts:  # another name that leads to this machine
            return _refuse(403, "This server answers only to its own name, 127.0.0.1.")
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self.hosts:
            return _refuse(403, f"Requests from {origin!r} are refused.")
        first = scope["path"].split("/")[1]
        if not secrets.compare_digest(first.encode(), self.token.encode()):
            return _refuse(
                403,
                "The address lacks the token of this review. Open the one that "
                "`counterplay review` printed.",
            )
        length = headers.get("content-length", "0")
        if not length.isdigit() or len(length) > 18 or int(length) > self.limit:
            return _refuse(413, f"A request has at most {self.limit:,} bytes.")
        return None


class TooLargeError(Exception):
    """A request without a stated length went on for too long."""


class _Bounded:
    """Receives up to a limit."""

    def __init__(self, receive: Receive, limit: int):
        self.receive, self.left = receive, limit

    async def __call__(self) -> Message:
        message = await self.receive()
        self.left -= len(message.get("body", b""))
        if self.left < 0:
            raise TooLargeError
        return message


def _refuse(status: int, text: str) -> PlainTextResponse:
    return PlainTextResponse(text, status)


def _with_headers(send: Send) -> Send:
    added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_with
