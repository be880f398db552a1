"""The server of a review: on this machine only, behind a fresh token."""

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from counterplay._lock import locked
from counterplay.errors import ConfigError
from counterplay.review.instances import Instances
from counterplay.review.marks import Marks
from counterplay.review.retraining import Retraining
from counterplay.review.site import site


HOST = "127.0.0.1"


def serve(
    instances: Instances,
    *,
    port: int = 0,
    on_ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Answer requests until Ctrl-C.

    Args:
        instances: What is reviewed; what is said of it goes to `review.json` of its run.
        port: Where to listen; 0 takes one that is free.
        on_ready: Called with the address of the page, which holds the token.

    Raises:
        ConfigError: If the port is taken.
    """
    folder = instances.run.folder
    with locked(folder / "review.lock"), _listening(port) as listening:
        marks = Marks(folder / "review.json", instances.data.ids)
        retraining = Retraining(instances.run)
        token, port = secrets.token_urlsafe(24), listening.getsockname()[1]
        app = site(instances, marks, retraining, token=token, port=port)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=1
        )
        on_ready(f"http://{HOST}:{port}/{token}/")
        with suppress(KeyboardInterrupt):  # that is how it ends
            uvicorn.Server(config).run(sockets=[listening])


def _listening(port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise ConfigError(f"`--port` is a number from 0 to 65535, got {port}.")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise ConfigError(
            f"The review cannot listen on port {port}: {error}. Use another `--port`, or "
            "leave it out for one that is free."
        ) from error
