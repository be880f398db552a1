"""The site: every address, and what it refuses."""

import json

import pytest
from reviewed import HOSTILE, N

from counterplay.review.exports import EXPORTS


TRAVERSALS = (
    "..", "../..", "..%2F..%2Fetc%2Fpasswd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "0/../../run.toml",
    "%2Fetc%2Fpasswd", "-1", "12", "1e0", "٣", "", "0%00", "many%2Fdigit-1.png",
    "9" * 5_000,
)  # fmt: skip


def test_the_page_shows_names_as_text_and_holds_no_script(client):
    text = client.get("").text
    assert "Which of 12 instances" in text
    assert "<script>" not in text
    assert " style=" not in text
    assert " onclick" not in text


def test_a_hostile_name_is_escaped_wherever_the_page_holds_it(client, reviewed):
    hostile = reviewed.folder.rename(reviewed.folder.with_name("<img src=x>"))
    object.__setattr__(reviewed, "folder", hostile)
    text = client.get("").text
    assert "<img src=x>" not in text
    assert "&lt;img src=x&gt;" in text


def test_the_table_is_json_and_never_markup(client):
    answer = client.get("instances")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["ids"][0] == HOSTILE


@pytest.mark.parametrize(
    "asset",
    [
        "style.css",
        "review.js",
        "server.js",
        "grid.js",
        "detail.js",
        "retraining.js",
        "words.js",
    ],
)
def test_the_page_gets_its_own_files(client, asset):
    answer = client.get(asset)
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] in ("text/css", "text/javascript")
    assert "http://" not in answer.text
    assert "https://" not in answer.text


@pytest.mark.parametrize("address", ["thumbnail", "picture", "about", "export", "grid"])
@pytest.mark.parametrize("path", TRAVERSALS)
def test_what_is_no_row_leads_nowhere(client, address, path):
    answer = client.get(f"{address}/{path}")
    assert answer.status_code in (
        403,
        404,
    )  # 403 where the client itself left the token's path


@pytest.mark.parametrize(
    "asset", ["review.html", "page.css", "..%2F__init__.py", "review.json", "site.py"]
)
def test_no_other_file_is_served(client, asset):
    assert client.get(asset).status_code == 404


def test_pictures_are_pictures(client):
    assert client.get("thumbnail/3").headers["content-type"] == "image/webp"
    assert client.get("picture/3").headers["content-type"] == "image/png"
    assert "immutable" in client.get("picture/3").headers["cache-control"]


def test_a_mark_is_answered_with_all_that_the_tab_does_not_know(client, marks):
    first = client.post("mark?since=-1", json={"rows": [0, 2], "mark": "remove"}).json()
    assert first["changed"] == {"0": ["remove", ""], "2": ["remove", ""]}
    client.post("note", json={"row": 1, "text": "<b>"})
    other = client.post(
        f"mark?since={first['revision']}", json={"rows": [2], "mark": ""}
    ).json()
    assert other["changed"] == {"1": ["", "<b>"], "2": ["", ""]}
    assert other["undoable"] == "no mark for many/digit-2.png"
    assert client.get(f"state?since={other['revision']}").json()["changed"] == {}
    assert client.get("state?since=x").json()["revision"] == 3
    assert marks.rows("remove") == [0]


def test_undo_says_what_it_took_back(client, marks):
    client.post("mark", json={"rows": [3], "mark": "keep"})
    assert client.post("undo").json()["undone"] == "keep for many/digit-3.png"
    assert client.post("undo").json()["undone"] == ""
    assert marks.of(3).mark == ""


@pytest.mark.parametrize("body", [
    b"", b"{", b"\xff", b"[]", b"1", b'{"rows": [0]}', b'{"rows": 0, "mark": "keep"}',
    b'{"rows": ["../../etc/passwd"], "mark": "keep"}', b'{"rows": [true], "mark": "keep"}',
    b'{"rows": [0], "mark": "keep", "more": 1}', b'{"rows": [99], "mark": "keep"}',
    b'{"rows": [0], "mark": "burn"}', b'{"rows": [0.5], "mark": "keep"}',
])  # fmt: skip
def test_a_request_that_makes_no_sense_changes_nothing(client, marks, body):
    assert client.post("mark", content=body).status_code == 400
    assert marks.revision == 0


def test_reading_changes_nothing(client, marks):
    client.post("mark", json={"rows": [0], "mark": "remove"})
    for address in ("mark", "note", "undo", "retrain", "cancel"):
        assert client.get(address).status_code == 404
    assert marks.rows("remove") == [0]


def test_a_full_disk_is_said(client, reviewed):
    (reviewed.folder / "review.json").mkdir()
    answer = client.post("mark", json={"rows": [0], "mark": "keep"})
    assert answer.status_code == 507
    assert "could not be written" in answer.text


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_are_downloaded_and_kept(client, reviewed, name):
    client.post("mark", json={"rows": [0], "mark": "remove"})
    answer = client.get(f"export/{name}")
    assert f'filename="{name}"' in answer.headers["content-disposition"]
    assert answer.content == (reviewed.folder / "review" / name).read_bytes()


def test_nothing_is_retrained_without_a_mark_or_twice(client, retraining, monkeypatch):
    answer = client.post("retrain")
    assert answer.status_code == 409
    assert "Nothing is marked" in answer.text
    client.post("mark", json={"rows": [0], "mark": "remove"})
    monkeypatch.setattr(retraining, "start", lambda ids: False)
    assert "is running" in client.post("retrain").text


def test_there_are_no_samples_before_a_retraining(client):
    for which in ("before", "after", "x"):
        assert client.get(f"grid/{which}").status_code == 404


def test_the_state_is_small_however_many_instances_there_are(client):
    assert len(json.dumps(client.get("state").json())) < 200
    assert len(client.get("instances").json()["ids"]) == N
