"""`sketchforge weights`: what is known of each file, where it is looked for, and what is found there."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import click
import pytest
import torch
from conftest import run_python

from cli.main import main, run
from sketchforge.checkpoints import catalog as weight_files
from sketchforge.checkpoints.catalog import (
    CACHE_VARIABLE,
    KNOWN,
    cache_folder,
    edge_weights_path,
    torch_hub_folder,
)
from sketchforge.errors import SketchforgeError
from sketchforge.models.teed import TEED


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Our cache folder and torchvision's, both empty."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "cache"


@pytest.fixture
def call(capsys, monkeypatch):
    """Run the command line in process: (exit code, stdout, stderr)."""
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def place_teed(folder: Path, suffix: str = ".pth") -> Path:
    path = folder / f"teed{suffix}"
    torch.save(TEED([2, 3, 4], 2, 3).state_dict(), path)
    return path


def paragraphs(text: str) -> dict[str, str]:
    """The output of `weights list`, by name."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith(" "):
            name = line
        found[name] = found.get(name, "") + line + "\n"
    return found


def test_the_cache_folder_follows_its_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "sketchforge" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "sketchforge" / "weights"
    monkeypatch.setenv(CACHE_VARIABLE, "~/mine")
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv(CACHE_VARIABLE, "")
    assert cache_folder() == tmp_path / "xdg" / "sketchforge" / "weights"


@pytest.mark.parametrize(
    "variables", [{}, {"XDG_CACHE_HOME": "x"}, {"TORCH_HOME": "t"}, {"TORCH_HOME": "~/t"}, {"TORCH_HOME": ""}]
)
def test_torchvisions_folder_is_where_torch_hub_has_it(monkeypatch, tmp_path, variables):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert torch_hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


def test_torchvisions_names_are_those_it_uses():
    import torchvision

    for name in ("vgg16", "vgg19"):
        url = torchvision.models.get_model_weights(name).IMAGENET1K_V1.url
        assert KNOWN[name].file_names == (url.rsplit("/", 1)[1],)
        assert KNOWN[name].file_names[0] == f"{name}-{KNOWN[name].sha256_start}.pth"


def test_the_cache_variable_is_no_options_variable():
    """Options come from SKETCHFORGE_<COMMAND>_<OPTION>, the group's own from SKETCHFORGE_<OPTION>."""

    def variables(command: click.Command, prefix: str):
        for option in command.params:
            yield f"{prefix}_{option.name.upper()}"
        if isinstance(command, click.Group):
            for name in command.list_commands(None):
                yield from variables(
                    command.get_command(None, name), f"{prefix}_{name.upper().replace('-', '_')}"
                )

    names = set(variables(main, "SKETCHFORGE"))
    assert "SKETCHFORGE_RENDER_EDGE_WEIGHTS" in names and CACHE_VARIABLE not in names


def test_list_tells_of_every_file(call, cache):
    path = place_teed(cache)
    code, stdout, stderr = call("weights", "list")
    assert (code, stderr) == (0, "")
    told = paragraphs(stdout)
    assert list(told) == list(KNOWN) == [
        "builtin", "tom", "vgg16", "vgg19", "hed", "pidinet", "teed", "inception", "alexnet", "squeezenet"
    ]  # fmt: skip
    for name, text in told.items():
        assert KNOWN[name].used_by in text and f"licence     {KNOWN[name].licence}" in text
    for name in ("builtin", "tom", "teed"):
        file = KNOWN[name].found()
        assert (
            f"there       {file} (" in told[name]
            and hashlib.sha256(file.read_bytes()).hexdigest() in told[name]
        )
    assert str(path) in told["teed"] and "absent" not in told["teed"]
    for name in ("vgg16", "vgg19", "hed", "pidinet", "inception", "alexnet", "squeezenet"):
        assert (
            f"absent      looked for {KNOWN[name].looked_for()}" in told[name]
            and KNOWN[name].placing in told[name]
        )
    assert f"hed.safetensors, hed.npz or hed.pth in {cache}" in told["hed"]


def test_list_and_path_are_quick():
    code = """
import sys
from cli.main import run
assert run(["weights", "list"]) == 0 and run(["weights", "path", "hed"]) == 0
heavy = {"torch", "torchvision", "cv2", "numpy", "safetensors"} & set(sys.modules)
assert not heavy, heavy
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_path_prints_just_the_path(call, cache):
    code, stdout, stderr = call("weights", "path", "teed")
    assert (code, stdout) == (0, f"{cache / 'teed.safetensors'}\n")
    assert (
        stderr.startswith("teed is not there yet: looked for teed.safetensors, ") and stderr.count("\n") == 1
    )
    path = place_teed(cache)
    assert call("weights", "path", "teed") == (0, f"{path}\n", "")


def test_check_loads_what_is_there(call, cache):
    path = place_teed(cache)
    code, stdout, stderr = call("weights", "check")
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0] == f"builtin: sound, {KNOWN['builtin'].found()}"
    assert lines[1] == f"tom: sound, {KNOWN['tom'].found()}"
    assert [line.split(":")[1][:7] for line in lines[2:6]] == [" absent"] * 4
    assert lines[6] == f"teed: sound, {path}"
    assert [line.split(":")[1][:7] for line in lines[7:]] == [" absent"] * 3


def test_check_fails_for_absent_files_that_were_asked_for(call, cache):
    place_teed(cache)
    assert call("weights", "check", "teed", "builtin")[0] == 0
    code, stdout, stderr = call("weights", "check", "teed", "hed")
    assert code == 1 and "hed: absent, looked for" in stdout
    assert stderr.startswith("error: hed is absent; ") and stderr.count("\n") == 1


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * 99]
)
def test_check_says_what_is_wrong(call, cache, damage):
    path = place_teed(cache)
    path.write_bytes(damage(path.read_bytes()))
    code, stdout, stderr = call("weights", "check")
    assert code == 1 and f"teed: not sound: {path}: cannot be read as weights" in stdout
    assert stderr.startswith("error: teed is not sound; ") and stdout.count("\n") == len(KNOWN)


def test_check_reads_the_digest_off_torchvisions_names(call, cache, monkeypatch):
    path = KNOWN["vgg16"].candidates()[0]
    state = {
        f"features.{n}.{part}": torch.zeros(shape)
        for n, width in ((0, 3), (2, 4))
        for part, shape in (("weight", (4, width, 3, 3)), ("bias", (4,)))
    }
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    code, stdout, _ = call("weights", "check", "vgg16")
    assert code == 1 and f"begins with {digest[:8]}, expected 397923af" in stdout
    monkeypatch.setitem(weight_files.KNOWN, "vgg16", replace(KNOWN["vgg16"], sha256_start=digest[:8]))
    assert call("weights", "check", "vgg16") == (0, f"vgg16: sound, {path}\n", "")


def test_of_two_files_none_is_chosen(call, cache):
    one, other = place_teed(cache, ".npz"), place_teed(cache, ".pth")
    told = f"teed: both {one} and {other} are there; remove all but the one to be used"
    assert call("weights", "path", "teed") == (1, "", f"error: {told}\n")
    code, stdout, _ = call("weights", "check", "teed")
    assert code == 1 and told in stdout
    code, stdout, _ = call("weights", "list")
    assert code == 0 and told in stdout
    with pytest.raises(SketchforgeError, match="both"):
        edge_weights_path("teed", None)
    assert edge_weights_path("teed", other) == other  # one is named: nothing to guess


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["weights"], "Missing command"),
        (["weights", "fetch"], "No such command 'fetch'"),
        (["weights", "path"], "Missing argument 'NAME'"),
        (["weights", "path", "vgg11"], "'vgg11' is not one of 'builtin', 'tom', 'vgg16'"),
        (["weights", "check", "vgg11"], "'vgg11' is not one of"),
        (["weights", "list", "--json"], "No such option"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(call, words, told):
    code, stdout, stderr = call(*words)
    assert (
        code == 2
        and stdout == ""
        and stderr.startswith("error: ")
        and told in stderr
        and stderr.count("\n") == 1
    )


def test_render_takes_weights_from_the_cache_or_as_given(call, cache, photos, tmp_path):
    words = [
        "render",
        "--images",
        photos,
        "--size",
        32,
        "--workers",
        1,
        "--method",
        "teed",
        "--shards",
        tmp_path / "out",
    ]
    code, stdout, stderr = call(*words)
    assert code == 1 and stderr.count("\n") == 1 and not (tmp_path / "out").exists()
    assert "no weights of teed: looked for teed.safetensors, teed.npz or teed.pth in" in stderr
    assert str(cache) in stderr and "--edge-weights" in stderr and "block_1.conv1.weight" in stderr
    code, _, stderr = call(*words, "--edge-weights", tmp_path / "none.pth")
    assert code == 2 and stderr == f"error: --edge-weights {tmp_path / 'none.pth'}: no such file\n"
    path = place_teed(cache)
    elsewhere = shutil.copy(path, tmp_path / "w.bin")
    code, stdout, _ = call(*words)
    assert code == 0 and f"(teed, weights {digest(tmp_path / 'out')[:8]}, on " in stdout
    code, stdout, _ = call(*words, "--edge-weights", elsewhere)
    assert code == 0 and "complete already" in stdout


def digest(folder: Path) -> str:
    return json.loads((folder / "manifest.json").read_text())["digests"]["teed"]
