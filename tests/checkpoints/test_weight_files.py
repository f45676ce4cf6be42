"""`sketchforge weights`: what is known of each file, where it is looked for, and what is found there."""

import hashlib
import json
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import click
import pytest
import torch

from cli.main import main, run
from sketchforge.checkpoints import catalog as weight_files
from sketchforge.checkpoints.catalog import (
    CACHE_VARIABLE,
    KNOWN,
    AbsentError,
    builtin_folder,
    cache_folder,
    find_weights,
    torch_hub_folder,
)
from sketchforge.checkpoints.tom import builtin_run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.models.teed import TEED
from tests.helpers.commands import run_python


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

    for name in ("vgg16", "vgg19", "alexnet", "squeezenet", "mobilenet_v2"):
        file = KNOWN[name]
        all_weights = torchvision.models.get_model_weights({"squeezenet": "squeezenet1_1"}.get(name, name))
        urls = [weights.url for weights in all_weights if weights.name.startswith("IMAGENET1K_V")]
        assert file.file_names == tuple(url.rsplit("/", 1)[1] for url in urls)
        assert tuple(Path(one).stem.rsplit("-", 1)[1] for one in file.file_names) == file.sha256_starts


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
    assert "SKETCHFORGE_RENDER_EDGE_WEIGHTS" in names
    assert CACHE_VARIABLE not in names


def test_list_tells_of_every_file(call, cache):
    path = place_teed(cache)
    code, stdout, stderr = call("weights", "list")
    assert (code, stderr) == (0, "")
    told = paragraphs(stdout)
    assert list(told) == list(KNOWN) == [
        "builtin", "tom", "foreground", "synthesizer", "vgg16", "vgg19", "hed", "pidinet", "teed", "inception", "alexnet",
        "squeezenet", "mobilenet_v2", "efficientnet-lite0",
    ]  # fmt: skip
    for name, text in told.items():
        assert f"what        {KNOWN[name].what}" in text
        assert KNOWN[name].used_by in text
        assert f"licence     {KNOWN[name].licence}" in text
    for name in ("builtin", "tom", "foreground", "synthesizer", "teed"):
        file = KNOWN[name].found()
        there = file.parent if name == "tom" else file
        assert f"there       {there} (" in told[name]
        assert hashlib.sha256(file.read_bytes()).hexdigest() in told[name]
    assert str(path) in told["teed"]
    assert "absent" not in told["teed"]
    for name in ("vgg16", "vgg19", "hed", "pidinet", "inception", "alexnet", "squeezenet", "mobilenet_v2"):
        assert f"absent      looked for {KNOWN[name].looked_for()}" in told[name]
        assert KNOWN[name].placing in told[name]
    assert f"hed.safetensors, hed.npz or hed.pth in {cache}" in told["hed"]


def test_a_run_has_the_size_of_its_folder(call, cache):
    """Not that of the run.json by which it is found."""
    num_bytes = sum(path.stat().st_size for path in builtin_run().rglob("*") if path.is_file())
    assert num_bytes > 1e6
    assert f"({num_bytes / 1e6:.2f} MB)" in paragraphs(call("weights", "list")[1])["tom"]


@pytest.mark.parametrize("name", ["builtin", "tom", "foreground", "synthesizer"])
def test_shipped_weights_name_the_research_data_that_they_learnt_from(call, cache, name):
    text = paragraphs(call("weights", "list")[1])[name]
    notice = (builtin_folder() / "NOTICE.md").read_text(encoding="utf-8").lower()
    for part in ("BSDS500 (non-commercial research)", "PACS (research)", "weigh this before commercial use"):
        assert part in text
        assert part.partition(" (")[0].lower() in notice


def test_list_and_path_are_quick():
    code = """
import sys
from cli.main import run
assert run(["weights", "list"]) == 0 and run(["weights", "path", "hed"]) == 0
heavy = {"torch", "torchvision", "cv2", "numpy", "safetensors", "sketchforge.metrics"} & set(sys.modules)
assert not heavy, heavy
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_path_prints_just_the_path(call, cache):
    code, stdout, stderr = call("weights", "path", "teed")
    assert (code, stdout) == (0, f"{cache / 'teed.safetensors'}\n")
    assert stderr.startswith("teed is not there yet: looked for teed.safetensors, ")
    assert stderr.count("\n") == 1
    path = place_teed(cache)
    assert call("weights", "path", "teed") == (0, f"{path}\n", "")


def test_check_loads_what_is_there(call, cache):
    path = place_teed(cache)
    code, stdout, stderr = call("weights", "check")
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0] == f"builtin: sound, {KNOWN['builtin'].found()}"
    assert lines[1] == f"tom: sound, {KNOWN['tom'].found()}"
    assert lines[2] == f"foreground: sound, {KNOWN['foreground'].found()}"
    assert lines[3] == f"synthesizer: sound, {KNOWN['synthesizer'].found()}"
    assert [line.split(":")[1][:7] for line in lines[4:8]] == [" absent"] * 4
    assert lines[8] == f"teed: sound, {path}"
    assert [line.split(":")[1][:7] for line in lines[9:]] == [" absent"] * 5


def test_check_fails_for_absent_files_that_were_asked_for(call, cache):
    place_teed(cache)
    assert call("weights", "check", "teed", "builtin")[0] == 0
    code, stdout, stderr = call("weights", "check", "teed", "hed")
    assert code == 1
    assert "hed: absent, looked for" in stdout
    assert stderr.startswith("error: hed is absent; ")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * 99]
)
def test_check_says_what_is_wrong(call, cache, damage):
    path = place_teed(cache)
    path.write_bytes(damage(path.read_bytes()))
    code, stdout, stderr = call("weights", "check")
    assert code == 1
    assert f"teed: not sound: {path}: cannot be read as weights" in stdout
    assert stderr.startswith("error: teed is not sound; ")
    assert stdout.count("\n") == len(KNOWN)


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
    assert code == 1
    assert f"begins with {digest[:8]}, expected 397923af" in stdout
    monkeypatch.setitem(weight_files.KNOWN, "vgg16", replace(KNOWN["vgg16"], sha256_starts=(digest[:8],)))
    assert call("weights", "check", "vgg16") == (0, f"vgg16: sound, {path}\n", "")


def test_of_two_files_none_is_chosen(call, cache):
    one, other = place_teed(cache, ".npz"), place_teed(cache, ".pth")
    told = f"teed: both {one} and {other} are there; remove all but the one to be used"
    assert call("weights", "path", "teed") == (1, "", f"error: {told}\n")
    code, stdout, _ = call("weights", "check", "teed")
    assert code == 1
    assert told in stdout
    code, stdout, _ = call("weights", "list")
    assert code == 0
    assert told in stdout
    with pytest.raises(SketchforgeError, match="both"):
        find_weights("teed", None, "--edge-weights FILE")
    # One is named: nothing to guess.
    assert find_weights("teed", other, "--edge-weights FILE") == other


def test_errors_of_the_look_up_name_the_option(cache):
    missing = cache / "none.pth"
    looked_for = f"no weights of alexnet: looked for {KNOWN['alexnet'].looked_for()}"
    with pytest.raises(AbsentError) as caught:
        find_weights("alexnet", None, "--lpips alex=FILE")
    assert str(caught.value) == (
        f"{looked_for}; place them there or name a file, --lpips alex=FILE; `sketchforge weights list` "
        "says more"
    )
    with pytest.raises(AbsentError) as caught:
        find_weights("alexnet", None, "--lpips alex=FILE", asked_by="--alex")
    assert (
        str(caught.value)
        == f"--alex: {looked_for}; {KNOWN['alexnet'].placing} (`sketchforge weights list` says more)"
    )
    with pytest.raises(UsageError) as caught:
        find_weights("alexnet", missing, "--lpips alex=FILE")
    assert str(caught.value) == f"--lpips alex={missing}: no such file; expected weights of alexnet"
    with pytest.raises(UsageError) as caught:
        find_weights("hed", missing, "--edge-weights FILE")
    assert str(caught.value) == f"--edge-weights {missing}: no such file"


@pytest.mark.parametrize("name", KNOWN)
def test_every_entry_names_a_loader_that_there_is(name):
    module, function = KNOWN[name].loader.split(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize(("name", "network"), [("mobilenet_v2", "mobilenet_v2"), ("alexnet", "alexnet")])
def test_check_loads_torchvisions_networks_as_their_metrics_do(call, cache, monkeypatch, name, network):
    import torchvision

    with torch.random.fork_rng(devices=[]):
        state = torchvision.models.get_model(network).features.state_dict()
    path = KNOWN[name].candidates()[-1]
    torch.save({f"features.{key}": value for key, value in state.items()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    code, stdout, _ = call("weights", "check", name)
    assert code == 1
    assert f"expected {' or '.join(KNOWN[name].sha256_starts)} as in its name" in stdout
    monkeypatch.setitem(weight_files.KNOWN, name, replace(KNOWN[name], sha256_starts=(digest[:8],)))
    assert call("weights", "check", name) == (0, f"{name}: sound, {path}\n", "")
    torch.save({"features.0.weight": torch.zeros(2)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(weight_files.KNOWN, name, replace(KNOWN[name], sha256_starts=(digest[:8],)))
    code, stdout, _ = call("weights", "check", name)
    assert code == 1
    assert "not the weights of" in stdout


def test_help_says_what_the_package_ships(call, cache):
    shipped = [name for name, file in KNOWN.items() if file.found()]
    assert shipped == ["builtin", "tom", "foreground", "synthesizer"]
    _, stdout, _ = call("weights", "--help")
    assert "`builtin`, `tom`, `foreground` and `synthesizer` come with the package" in " ".join(
        stdout.split()
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["weights"], "Missing command"),
        (["weights", "fetch"], "No such command 'fetch'"),
        (["weights", "path"], "Missing argument 'NAME'"),
        (
            ["weights", "path", "vgg11"],
            "'vgg11' is not one of 'builtin', 'tom', 'foreground', 'synthesizer', 'vgg16'",
        ),
        (["weights", "check", "vgg11"], "'vgg11' is not one of"),
        (["weights", "list", "--json"], "No such option"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(call, words, told):
    code, stdout, stderr = call(*words)
    assert code == 2
    assert stdout == ""
    assert stderr.startswith("error: ")
    assert told in stderr
    assert stderr.count("\n") == 1


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
    assert code == 2
    assert stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert "no weights of teed: looked for teed.safetensors, teed.npz or teed.pth in" in stderr
    assert str(cache) in stderr
    assert "--edge-weights" in stderr
    assert "block_1.conv1.weight" in stderr
    code, _, stderr = call(*words, "--edge-weights", tmp_path / "none.pth")
    assert code == 2
    assert stderr == f"error: --edge-weights {tmp_path / 'none.pth'}: no such file\n"
    path = place_teed(cache)
    elsewhere = shutil.copy(path, tmp_path / "w.bin")
    code, stdout, _ = call(*words)
    assert code == 0
    assert f"(teed, weights {digest(tmp_path / 'out')[:8]}, on " in stdout
    code, stdout, _ = call(*words, "--edge-weights", elsewhere)
    assert code == 0
    assert "complete already" in stdout


def digest(folder: Path) -> str:
    return json.loads((folder / "manifest.json").read_text())["digests"]["teed"]
