"""The words: what is parsed, printed and returned. Real commands, most of them in process."""

import json
import subprocess
import sys

import click
import pytest

from cli.main import COMMANDS, run
from sketchforge.options import RenderOptions
from tests.helpers.commands import ROOT, environment, run_cli, run_python
from tests.helpers.forks import forked_cli
from tests.helpers.photos import make_photos


@pytest.fixture
def call(capsys, monkeypatch):
    """Run the command line in process: (exit code, stdout, stderr)."""
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def asked(monkeypatch):
    """The options that `render` would have been called with; nothing is rendered."""
    seen = []

    class Stop(BaseException):  # an Exception would become a line of text
        pass

    def take(options, progress=None):
        seen.append(options)
        raise Stop

    monkeypatch.setattr("sketchforge.render.render.render", take)

    def ask(*arguments):
        with pytest.raises(Stop):
            run(["render", "--shards", "out", *map(str, arguments)])
        return seen[-1]

    return ask


def test_help_of_every_command_is_quick_and_ends_with_an_example():
    """Nothing heavy is loaded, whichever command is asked."""
    code = """
import sys, io, contextlib
from cli.main import COMMANDS, run
inner = [["weights", name, "--help"] for name in ("list", "check", "path")]
for words in [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS), *inner]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert run(words) == 0
    last = text.getvalue().rstrip().splitlines()[-1]
    assert words == ["--version"] or "Example: sketchforge " in text.getvalue().split("--help")[-1], words
heavy = {"torch", "torchvision", "cv2", "numpy", "PIL", "webdataset", "scipy", "lpips"} & set(sys.modules)
assert not heavy, heavy
print("light")
"""
    done = run_python(code)
    assert done.stdout == "light\n", done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name):
    from cli.main import main

    command = main.get_command(None, name)
    assert command.name == name
    for one in [command, *getattr(command, "commands", {}).values()]:
        assert one.help
        assert one.epilog
        options = [option for option in one.params if isinstance(option, click.Option)]
        assert [option.name for option in options if not option.help] == []


def test_defaults_are_those_of_the_dataclass(asked):
    options = asked()
    assert options == RenderOptions(shards=options.shards)


def test_render_verify_and_gallery_end_to_end(call, tmp_path):
    photos, out = make_photos(tmp_path / "in", 5), tmp_path / "out"
    words = ["render", "--images", photos, "--shards", out, "--method", "canny", "--size", 32, "--workers", 1]
    code, stdout, stderr = call(*words, "--dry-run")
    assert code == 0
    assert "5 images" in stdout
    assert "about" in stdout
    assert not out.exists()
    code, stdout, stderr = call(*words)
    assert code == 0
    assert f"{out}: 5 samples in 5 shards" in stdout
    assert "slowest stage" in stdout
    code, stdout, stderr = call(*words)
    assert code == 0
    assert "complete already" in stdout
    assert stderr == ""
    code, stdout, stderr = call("verify", out)
    assert code == 0
    assert stdout.startswith(f"{out}: intact, 5 samples with 5 sketches in 5 shards")
    code, stdout, stderr = call("gallery", out, "--png", tmp_path / "sheet.png", "--rows", 2)
    assert (code, stdout) == (0, f"{tmp_path / 'sheet.png'}\n")
    code, stdout, stderr = call("gallery", out, "--html", tmp_path / "page.html", "--png", tmp_path / "2.png")
    assert (code, stdout.splitlines()) == (0, [str(tmp_path / "2.png"), str(tmp_path / "page.html")])
    code, stdout, stderr = call("inspect", out)
    assert code == 0
    assert stdout.startswith(f"folder    {out}: complete, 5 shards\n")
    assert stderr == ""
    (out / "00000.tar").unlink()
    code, stdout, stderr = call("verify", out)
    assert code == 1
    assert stdout == "00000.tar: missing\n"
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1


def test_failed_images_are_told_and_bounded(call, tmp_path):
    photos = make_photos(tmp_path / "in", 3)
    (photos / "x.jpg").write_text("no image")
    words = ["render", "--images", photos, "--method", "canny", "--workers", 1, "--shards"]
    code, stdout, stderr = call(*words, tmp_path / "a")
    assert code == 0
    assert "1 image failed: 1 not an image; the .jsonl files name them, and --retry-failed" in stdout
    assert "\n  x.jpg: not an image\n" in stdout
    code, stdout, stderr = call(*words, tmp_path / "b", "--max-failures", 0)
    assert code == 1
    assert "error: " in stderr
    assert "more than --max-failures 0" in stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["render"], "Missing option '--shards'"),
        (["render", "--shards", "out", "--size", "3"], "'--size': 3 is not in the range 16<=x<=4096"),
        (
            ["render", "--shards", "out", "--method", "x"],
            "'x' is not one of 'tom', 'canny', 'hed', 'pidinet', 'teed'",
        ),
        (["render", "--shards", "out", "--colour"], "No such option"),
        (
            ["render", "--shards", "out", "--images", "nowhere", "--method", "canny"],
            "nowhere: no such folder",
        ),
        (
            ["render", "--shards", "out", "--method", "canny", "--canny-low", "3"],
            "--canny-low and --canny-high go together",
        ),
        (["verify", "nowhere"], "nowhere: no such folder"),
        (["inspect", "nowhere"], "nowhere: no such folder"),
        (["inspect", "out", "--samples", "-1"], "-1 is not in the range x>=0"),
        (["gallery", "nowhere", "--html", "page.html"], "nowhere: no such folder"),
        (["gallery", "out"], "nothing to write; give --html FILE, --png FILE or both"),
        (["gallery", "out", "--html", "page.html", "--rows", "0"], "0 is not in the range x>=1"),
        (["paint"], "No such command 'paint'"),
        (["--config", "nowhere.toml", "render"], "nowhere.toml"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(call, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = call(*words)
    assert code == 2
    assert stdout == ""
    assert stderr.startswith("error: ")
    assert told in stderr
    assert stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_no_words_at_all_show_the_help(call):
    code, stdout, stderr = call()
    assert code == 2
    assert all(name in stdout for name in COMMANDS)


def config(tmp_path, text):
    path = tmp_path / "options.toml"
    path.write_text(text)
    return path


def test_precedence_is_command_line_environment_file_default(tmp_path, monkeypatch, asked):
    from cli.main import main

    path = config(tmp_path, "[render]\nsize = 111\nbatch-size = 5\nsamples_per_shard = 7\n")
    seen = []
    monkeypatch.setattr(
        "sketchforge.render.render.render", lambda options, progress=None: seen.append(options) or 1 / 0
    )

    def options(*words):
        with pytest.raises(ZeroDivisionError):
            main.main(["--config", str(path), "render", "--shards", "out", *words], standalone_mode=False)
        return seen[-1]

    assert (options().size, options().batch_size, options().samples_per_shard, options().fit) == (
        111,
        5,
        7,
        "crop",
    )
    monkeypatch.setenv("SKETCHFORGE_RENDER_SIZE", "222")
    assert (options().size, options().batch_size) == (222, 5)
    assert options("--size", "333").size == 333


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[render]\nsizes = 3\n", "unknown key 'sizes' in [render]; known are images, prefix_keys,"),
        ("[rendering]\nsize = 3\n", "unknown table [rendering]; known are ["),
        ("size = 3\n", "unknown table [size]"),
        ("[render\n", "cannot be read as TOML"),
        ('[render]\nsize = "big"\n', ", [render] size: 'big' is not a number of pixels"),
        ("[render]\nsize = 3\n", "3 is not in the range"),
    ],
)
def test_mistakes_in_a_config_file_are_usage_errors(call, tmp_path, text, told):
    code, _, stderr = call("--config", config(tmp_path, text), "render", "--shards", tmp_path / "out")
    assert code == 2
    assert told in stderr
    assert stderr.count("\n") == 1


def test_no_images_means_the_photos_built_in(call, tmp_path):
    code, stdout, _ = call(
        "render", "--method", "canny", "--size", 32, "--workers", 1, "--shards", tmp_path / "out"
    )
    assert code == 0
    assert "using the photos built in" in stdout


def test_a_pipe_closed_early_is_no_traceback(tmp_path):
    make_photos(tmp_path / "in", 2)
    assert (
        run_cli(
            "render", "--images", tmp_path / "in", "--method", "canny", "--shards", tmp_path / "out"
        ).returncode
        == 0
    )
    for number in range(300):
        (tmp_path / "out" / f"x{number}.tar").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "sketchforge", "verify", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONUNBUFFERED="1"),
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


def test_missing_system_libraries_name_the_packages():
    code = """
import sys
from cli.main import run
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
sys.meta_path.insert(0, Broken())
sys.exit(run(["render", "--method", "canny", "--shards", sys.argv[1]]))
"""
    done = run_python(code, "/nonexistent/out")
    assert done.returncode == 1
    assert "apt-get install libglib2.0-0 libgl1" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_console_script_notices_a_stranger_named_cli(tmp_path):
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "__init__.py").touch()
    code = "import sys; sys.path.insert(0, sys.argv[1]); from sketchforge.__main__ import main; main()"
    done = run_python(code, tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(ROOT / "cli") in done.stderr
    assert "another distribution" in done.stderr


def test_sparse_output_where_no_terminal_looks(call, tmp_path):
    words = [
        "render",
        "--images",
        make_photos(tmp_path / "in", 40),
        "--method",
        "canny",
        "--size",
        32,
        "--workers",
        1,
    ]
    _, _, stderr = call(*words, "--shards", tmp_path / "out", "--batch-size", 1)
    assert stderr.count("\r") <= 3
    assert "40/40" in stderr


def test_stats_name_every_stage(call, tmp_path):
    call(
        "render",
        "--images",
        make_photos(tmp_path / "in", 3),
        "--method",
        "canny",
        "--shards",
        tmp_path / "out",
    )
    stats = json.loads((tmp_path / "out" / "00000.stats.json").read_text())
    assert set(stats["seconds"]) == {"decode", "draw", "encode", "write"}


def test_a_pattern_without_quotes_is_told(tmp_path):
    done = forked_cli("render", "--images", "a.jpg", "b.jpg", "c.jpg", "--shards", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr == "error: unexpected argument b.jpg; quote patterns, as in --images 'photos/*.jpg'\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--method", "tom", "--canny-low", "3", "--canny-high", "9"],
            "--canny-low: has no meaning with --method tom",
        ),
        (
            ["--method", "canny", "--edge-weights", "x.npz"],
            "--edge-weights: has no meaning with --method canny",
        ),
        (["--method", "canny", "--precision", "bfloat16"], "--precision: has no meaning with --method canny"),
    ],
)
def test_options_of_another_method_are_refused(tmp_path, options, told):
    done = forked_cli("render", *options, "--shards", tmp_path / "out")
    assert done.returncode == 2
    assert told in done.stderr


def test_who_names_the_wrong_run_is_told_of_those_nearby(tmp_path):
    (tmp_path / "runs" / "mine" / "snapshots").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "run.json").write_text("{}")
    (tmp_path / "runs" / "mine" / "snapshots" / "x").touch()
    for wrong in ("runs/tom", "runs", "runs/mine/snapshots"):
        done = forked_cli("render", "--tom", wrong, "--shards", "out", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "runs/mine" in done.stderr.partition("there is")[2], done.stderr
