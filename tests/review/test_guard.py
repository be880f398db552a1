"""The guard: what anybody else asks is refused."""

import pytest
from reviewed import PORT, TOKEN
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from counterplay.review.guard import LIMIT


HERE = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def stranger(app):
    """Somebody who knows the address but not the token."""
    return TestClient(app, base_url=HERE)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/instances", "/state", "/wrong/", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", "/é/"],
)
def test_a_missing_or_wrong_token_is_refused(stranger, path):
    answer = stranger.get(path)
    assert answer.status_code == 403
    assert "lacks the token" in answer.text


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://127.0.0.1:8123", "http://127.0.0.1:9", "null"],
)
def test_another_origin_is_refused(client, marks, origin):
    answer = client.post(
        "mark", json={"rows": [0], "mark": "remove"}, headers={"Origin": origin}
    )
    assert answer.status_code == 403
    assert "are refused" in answer.text
    assert marks.revision == 0


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8123", "127.0.0.1:9", "127.0.0.1", ""]
)
def test_another_name_of_this_machine_is_refused(client, host):
    answer = client.get("state", headers={"Host": host})
    assert answer.status_code == 403
    assert "its own name" in answer.text


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_page_itself_is_answered(client, name):
    here = {"Host": f"{name}:{PORT}", "Origin": f"http://{name}:{PORT}"}
    assert client.get("state", headers=here).status_code == 200


def test_a_request_that_is_too_large_is_refused_before_it_is_read(client, marks):
    answer = client.post("note", content=b" " * (LIMIT + 1))
    assert answer.status_code == 413
    assert "at most 1,000,000 bytes" in answer.text


def test_a_large_request_that_does_not_say_so_is_refused_too(client):
    chunks = (b" " * 100_000 for _ in range(11))
    assert client.post("note", content=chunks).status_code == 413


def test_a_length_that_is_no_number_is_refused(client):
    assert client.get("state", headers={"Content-Length": "-1"}).status_code == 413


@pytest.mark.parametrize("path", ["", "state", "thumbnail/0", "nothing", "style.css"])
def test_every_answer_says_what_a_browser_may_do_with_it(client, path):
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_refusals_tell_browsers_the_same(stranger):
    assert stranger.get("/").headers["x-content-type-options"] == "nosniff"


def test_sockets_are_not_accepted(stranger):
    with (
        pytest.raises(WebSocketDisconnect),
        stranger.websocket_connect(f"/{TOKEN}/state"),
    ):
        pass
