"""The server as the command starts it: on this machine, behind a token, until Ctrl-C."""

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from counterplay.errors import ConfigError
from counterplay.review.server import serve


def get(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read().decode()


def test_the_command_serves_one_review_until_it_is_interrupted(played_run):
    command = [
        sys.executable,
        "-m",
        "counterplay",
        "review",
        str(played_run),
        "--no-browser",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        # Both lines by `readline`, as `communicate` does not see what that has read ahead.
        address = server.stdout.readline().split()[-1]
        assert "what was marked is kept" in server.stdout.readline()
        host = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)[\w-]{32}/", address)[1]
        assert "Which of 48 instances" in get(address)
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            get(host)
        refused.value.close()
        second = subprocess.run(command, check=False, capture_output=True, text=True)
        assert second.returncode == 1
        assert f"Process {server.pid} is writing" in second.stderr
        server.send_signal(signal.SIGINT)
        said, complaints = server.communicate(timeout=30)
        assert server.returncode == 0
        assert said == complaints == ""
    assert not (played_run / "review.lock").exists()


def test_a_port_that_is_taken_is_named(instances):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"cannot listen on port {port}: .*Use another `--port`"
        ):
            serve(instances, port=port)
    with pytest.raises(ConfigError, match="from 0 to 65535, got 99999"):
        serve(instances, port=99_999)
