"""`convert --push`: to a stand-in for the Hub on this machine; refusals are one line, and the token is never shown."""

import sys

import pytest

from cli.main import run
from tests.helpers.folders import contents
from tests.helpers.hub_server import hub_server

huggingface_hub = pytest.importorskip(
    "huggingface_hub", reason="needs huggingface_hub (the extra `datasets`)"
)
TOKEN = "hf_secretsecretsecretsecret"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    from huggingface_hub import constants

    with hub_server() as server:
        # As the library has them from HF_ENDPOINT and the like when it is first imported.
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def push(shards, out, name="me/set", to="controlnet"):
    return run(["convert", str(shards), "--to", to, "--out", str(out), "--per-image", "1", "--push", name])


def test_the_whole_folder_arrives_in_a_private_data_set(hub, rendered, tmp_path, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / ".half.part").write_text("hidden")
    assert push(rendered.shards, tmp_path / "set", to="parquet") == 0
    told = capsys.readouterr()
    assert f"uploaded to {hub.address}/datasets/me/set\n" in told.out
    assert TOKEN not in told.out + told.err
    (created,) = hub.created
    assert (created["name"], created["organization"], created["type"]) == ("set", "me", "dataset")
    assert created.get("private") is True or created.get("visibility") == "private"
    ours = contents(tmp_path / "set")
    del ours[".half.part"]
    assert hub.files == ours
    assert {"README.md", "contact-sheet.jpg", "data/train-00000-of-00001.parquet"} <= hub.files.keys()
    assert hub.tokens == {f"Bearer {TOKEN}"}


def test_nothing_is_uploaded_unasked(hub, rendered, tmp_path):
    words = ["convert", str(rendered.shards), "--to", "controlnet", "--out", str(tmp_path / "set")]
    assert run(words) == 0
    assert not hub.tokens


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "the token is not accepted"),
        (403, "the token may not write there"),
        (404, "there is no such account"),
        (400, "bad things, said the server of …"),
    ],
)
def test_a_refusal_is_one_line_and_the_folder_is_kept(hub, rendered, tmp_path, capsys, status, words):
    hub.refuse = (status, f"bad things, said the server of {TOKEN}\nand more")
    assert push(rendered.shards, tmp_path / "set") == 1
    told = capsys.readouterr()
    (line,) = [line for line in told.err.splitlines() if "error" in line.lower()]
    assert f"{hub.address}/datasets/me/set: was not uploaded ({words}" in line
    assert "is complete, run the same command again" in line
    assert TOKEN not in told.out + told.err
    assert (tmp_path / "set" / "README.md").exists()


def test_a_hub_that_is_not_there_is_one_line(hub, rendered, tmp_path, capsys, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    assert push(rendered.shards, tmp_path / "set") == 1
    told = capsys.readouterr()
    assert "http://127.0.0.1:1/datasets/me/set: was not uploaded (" in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize("name", ["set", "a/b/c", "me/..", "me/", "https://host/me/set"])
def test_names_that_no_data_set_has_are_refused_before_anything_is_written(
    hub, rendered, tmp_path, capsys, name
):
    assert push(rendered.shards, tmp_path / "set", name) == 2
    assert f"--push {name}: expected the name of a data set, OWNER/NAME" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_without_a_token_nothing_is_written(hub, rendered, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert push(rendered.shards, tmp_path / "set") == 2
    assert "--push me/set: no token found; run `hf auth login`, or set HF_TOKEN\n" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_without_the_library_nothing_is_written(rendered, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert push(rendered.shards, tmp_path / "set") == 2
    assert "huggingface_hub is not installed; pip install 'sketchforge[datasets]'" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
