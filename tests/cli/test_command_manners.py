"""How the command line answers: mistyped words, help, amounts of output, variables, completion, exit codes."""

import os
import shlex
import signal
import struct
import subprocess
import sys
from pathlib import Path

import click
import pytest
from PIL import Image

from cli.command import GENERAL
from cli.main import COMMANDS, SECTIONS, main, run
from sketchforge.errors import SketchforgeError
from sketchforge.utils.progress import Progress
from tests.helpers.commands import environment, run_python
from tests.helpers.photos import make_photos

CANNY = ["--method", "canny", "--size", "32", "--workers", "1"]


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run the command line in process, in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def every_command(group=main, path=(), context=None):
    """Yield (words, command, context) of every command that is no group."""
    context = context or click.Context(main, info_name="sketchforge", **main.context_settings)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name), inner)
        else:
            yield (*path, name), command, inner


# Mistyped words.


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["rendr"], "did you mean render?"),
        (["tomtrain"], "did you mean tom-train"),
        (
            ["train"],
            "did you mean tom-train or ae-train or gan-train or style2paints-train or segin-train or diffsketching-train or encoder-train?",
        ),
        (["eval", "sketch"], "did you mean sketches?"),
        (["weights", "chek"], "did you mean check?"),
        (["help", "rendr"], "did you mean render?"),
        (["zzz"], "there are tom-train, index, render,"),
        (["render", "--shard", "o"], "did you mean --shards"),
        (["--size", "3"], "options of a command come after its name"),
        (["render", "--config", "c.toml"], "sketchforge --config c.toml render …"),
        (["eval", "images", "--config=c.toml"], "sketchforge --config c.toml eval images …"),
        (["render", "a/", "b c/"], "sketchforge render --images a/ --shards 'b c/'"),
        (
            ["render", "--size=64", "a", "--dry-run", "b", "--fit", "pad"],
            "sketchforge render --images a --shards b --size=64 --dry-run --fit pad",
        ),
        (["synthesize", "a.png", "b.jpg"], "sketchforge synthesize --sketch a.png --style b.jpg\n"),
        (["ae-train", "out"], "sketchforge ae-train --shards out"),
        (["gallery", "a", "b"], "unexpected argument b; sketchforge gallery takes one DIR"),
        (["-v", "verify", "-q", "x"], "--verbose and --quiet exclude each other"),
    ],
)
def test_mistyped_words_are_answered_with_the_right_ones(call, words, answer):
    code, stdout, stderr = call(*words)
    assert (code, stdout) == (2, "")
    assert stderr.count("\n") == 1
    assert answer in stderr


def test_a_single_value_given_twice_is_refused_whatever_the_command(call):
    tried = 0
    for words, command, context in every_command():
        for parameter in command.get_params(context):
            if not isinstance(parameter, click.Option) or parameter.multiple or parameter.is_flag:
                continue
            option = parameter.opts[0]
            code, _, stderr = call(*words, option, "first", f"{option}=second")
            assert code == 2
            assert f"{option} is given 2 times: first and second" in stderr, (words, stderr)
            tried += 1
    assert tried > 100


def test_options_that_take_several_values_still_do(call):
    _, _, stderr = call("eval", "sketches", "--shards", "a", "--shards", "b")
    assert "a: no such folder" in stderr


# Help.


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("words", [[], ["eval"], ["weights"]], ids=" ".join)
def test_lists_of_commands_are_not_cut(call, monkeypatch, columns, words):
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((columns, 24)))
    code, stdout, _ = call(*words, "--help")
    assert code == 0
    assert "..." not in stdout.partition("[ARGS]...")[2]
    assert "…" not in stdout
    assert max(map(len, stdout.splitlines())) <= min(columns, 120)


def test_wide_terminals_are_used_up_to_120_columns(call, monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((200, 24)))
    assert 100 < max(map(len, call("render", "--help")[1].splitlines())) <= 120


def test_every_command_stands_in_one_section():
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(COMMANDS)


def test_options_stand_under_headings():
    for words, command, context in every_command():
        own = [option for option in command.params if isinstance(option, click.Option)]
        general = {option.name for option in own if getattr(option, "group", GENERAL) == GENERAL}
        assert general == {"verbose", "quiet", "log"}, words
        if len(own) > 3:
            assert f"\n{GENERAL}:\n" in command.get_help(context)


def test_options_of_numbers_say_what_they_count():
    for words, command, _ in every_command():
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(
                option.type, click.IntRange | click.FloatRange
            ):
                assert option.metavar, (words, option.name)


def test_help_is_a_command_too(call):
    assert call("help", "eval", "images")[1] == call("eval", "images", "--help")[1]
    assert call("help")[1] == call("--help")[1]


def test_examples_can_be_copied_as_they_are_shown(call, monkeypatch):
    """A shell reads one command of them, also where they are too long for a line."""
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((60, 24)))
    continued = 0
    for words, command, _ in every_command():
        shown = call(*words, "--help")[1].partition("Example: ")[2].strip()
        assert shlex.split(shown.replace("\\\n", "")) == shlex.split(command.epilog.removeprefix("Example: "))
        assert max(map(len, shown.splitlines())) <= 60
        continued += "\\\n" in shown
    assert continued > 5


def test_examples_of_the_help_are_complete_commands(call, monkeypatch):
    """Each parses to its end: the command itself is not carried out."""
    for words, command, _ in every_command():
        example = shlex.split(command.epilog.removeprefix("Example: "))
        assert example[1 : 1 + len(words)] == list(words)
        with main.make_context("sketchforge", example[1 : 1 + len(words)], resilient_parsing=True):
            command.make_context(command.name, example[1 + len(words) :])


# How much is printed.


def test_quiet_leaves_results_and_verbose_adds_reasons(call, tmp_path):
    photos = make_photos(tmp_path / "in", 2)
    (photos / "x.jpg").write_text("no image")
    words = ["render", "--images", photos, *CANNY, "--shards"]
    usual, quiet, verbose = call(*words, "a"), call(*words, "b", "-q"), call("--verbose", *words, "c")
    assert usual[0] == quiet[0] == verbose[0] == 0
    assert "next: sketchforge gallery a --html gallery.html" in usual[1]
    assert "3 images (" in usual[1]
    assert quiet[2] == ""
    assert [line[:2] for line in quiet[1].splitlines()] == [
        "b:",
        "1 ",
        "  ",
    ]  # samples, failures, their names
    assert "x.jpg: not an image\n" in verbose[2]
    assert "seconds by stage: decode" in verbose[2]
    assert "sketchforge render took" in verbose[2]
    assert "x.jpg: not an image\n" not in usual[2]


def test_nothing_follows_where_nothing_was_done(call, tmp_path):
    words = ["render", "--images", make_photos(tmp_path / "in", 1), *CANNY, "--shards", "my out"]
    assert "next: sketchforge gallery 'my out' --html gallery.html\n" in call(*words)[1]
    assert "next:" not in call(*words)[1]
    assert "next:" not in call(*words, "--dry-run")[1]


def test_an_unexpected_error_is_one_line_and_a_traceback_if_asked(call, monkeypatch):
    def fail(*_):
        raise RuntimeError("some fault")

    monkeypatch.setattr("sketchforge.shards.verify.verify", fail)
    code, _, stderr = call("verify", "out")
    assert code == 1
    assert stderr.count("\n") == 1
    assert "unexpected RuntimeError: some fault" in stderr
    with pytest.raises(RuntimeError):
        call("verify", "out", "--verbose")


def test_want_of_memory_is_no_fault_of_the_program(call, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("sketchforge.shards.verify.verify", fail)
    code, _, stderr = call("verify", "out")
    assert code == 1
    assert stderr.startswith("error: out of memory; what was finished before is kept")


def test_a_package_that_is_missing_is_named(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "sketchforge.shards.verify", None)
    code, _, stderr = call("verify", "out")
    assert code == 1
    assert stderr.startswith("error: the package sketchforge.shards.verify is not installed")


def test_a_bar_stays_on_one_line_of_a_narrow_terminal():
    """The terminal is 40 columns wide; the last line that the bar draws must fit."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    code = """
from cli.progress import Bar
bar = Bar(delay=0)
with bar.track("image", 3):
    for _ in range(3):
        bar.advance(rate="1234 sketches/s", stage="slowest: decode", more="x" * 80)
"""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=environment(), check=True)
    drawn = os.read(ours, 10_000).decode().replace("\x1b[A", "")
    os.close(ours)
    os.close(theirs)
    states = [state.rstrip("\n") for state in drawn.replace("\r\n", "\n").split("\r")]
    assert "3/3" in states[-1]
    assert max(map(len, states)) <= 40


def test_a_progress_shows_nothing_by_itself(capsys):
    with Progress().track("image", 1):
        Progress().note("a note")
    assert capsys.readouterr() == ("", "")


# Variables and configuration.


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SKETCHFORGE_RENDER_SIZE", "abc", "SKETCHFORGE_RENDER_SIZE: 'abc' is not a number of pixels"),
        ("SKETCHFORGE_RENDER_LIMIT", "x", "SKETCHFORGE_RENDER_LIMIT: 'x' is not a whole number"),
        ("SKETCHFORGE_RENDER_TIMEOUT", "x", "SKETCHFORGE_RENDER_TIMEOUT: 'x' is not a number;"),
        ("SKETCHFORGE_RENDER_METHOD", "x", "SKETCHFORGE_RENDER_METHOD: 'x' is not one of"),
        ("SKETCHFORGE_RENDER_IMAGES", "nowhere", "SKETCHFORGE_RENDER_IMAGES: nowhere: no such folder"),
        ("SKETCHFORGE_RENDER_TASK_ID", "7", "SKETCHFORGE_RENDER_TASK_ID: --task-id 7: with --num-tasks 1"),
    ],
)
def test_a_wrong_variable_is_named(call, monkeypatch, name, value, told):
    monkeypatch.setenv(name, value)
    code, _, stderr = (
        call("render", "--method", "canny", "--shards", "out")
        if "METHOD" not in name
        else call("render", "--shards", "out")
    )
    assert code == 2
    assert stderr.startswith(f"error: {told}")


def test_a_wrong_value_of_a_file_is_named(call, tmp_path):
    (tmp_path / "c.toml").write_text("[eval.sketches]\nsamples = -1\n")
    _, _, stderr = call("--config", "c.toml", "eval", "sketches", "--shards", "out")
    assert stderr.startswith("error: c.toml, [eval.sketches] samples: -1 is not in the range")


def test_an_unknown_variable_is_warned_of_once(call, monkeypatch):
    monkeypatch.setenv("SKETCHFORGE_RENDER_SIZ", "64")
    monkeypatch.setenv("SKETCHFORGE_TEST_DATA", "x")
    monkeypatch.setenv("SKETCHFORGE_AE_TRAIN_SIZE", "64")  # of another command
    warning = "warning: SKETCHFORGE_RENDER_SIZ: no option reads this variable; did you mean SKETCHFORGE_RENDER_SIZE?"
    assert call("verify", "nowhere")[2].splitlines()[0] == warning
    assert "warning" not in call("verify", "nowhere", "-q")[2]


# Completion.


def completions(words: str, monkeypatch, capsys) -> list[str]:
    """What click's protocol gives for the last word: "plain,render", "file,pho"."""
    monkeypatch.setenv("_SKETCHFORGE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    with pytest.raises(SystemExit):
        main.main([], prog_name="sketchforge")
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("sketchforge ren", ["plain,render"]),
        ("sketchforge help ren", ["plain,render"]),
        ("sketchforge eval sk", ["plain,sketches"]),
        ("sketchforge render --images pho", ["file,pho"]),
        ("sketchforge render --edge-weights x", ["file,x"]),
        ("sketchforge render --tom b", ["dir,b", "plain,builtin"]),
        ("sketchforge render --tom r", ["dir,r"]),
        ("sketchforge transfer --tom b", ["dir,b", "plain,builtin"]),
        ("sketchforge synthesize --style x", ["file,x"]),
        ("sketchforge synthesize --sketch x", ["file,x"]),
        ("sketchforge synthesize --model x", ["file,x"]),
        ("sketchforge ae-train --encoder v", ["file,v", "plain,vgg16", "plain,vgg19"]),
        ("sketchforge ae-train --shards o", ["file,o"]),
        ("sketchforge verify o", ["dir,o"]),
    ],
)
def test_files_and_words_are_completed(monkeypatch, capsys, words, completed):
    assert completions(words, monkeypatch, capsys) == completed


# Several folders.


def test_verify_and_inspect_take_several_folders_and_the_worst_code(call, tmp_path):
    photos = make_photos(tmp_path / "in", 1)
    for folder in ("a", "b"):
        call("render", "--images", photos, *CANNY, "--shards", folder)
    assert call("verify", "a", "b")[0] == 0
    (tmp_path / "a" / "00000.tar").unlink()
    code, stdout, stderr = call("verify", "a", "b")
    assert code == 1
    assert stdout.startswith("a: 00000.tar: missing\nb: intact, 1 sample with 1 sketch in 1 shard")
    assert stderr.startswith("error: a: 1 problem; read ")
    code, stdout, stderr = call("inspect", "nowhere", "b")
    assert code == 2
    assert stderr.startswith("error: nowhere: no such folder")
    assert "folder    b: complete, 1 shard" in stdout


# Exit codes.

WRONG = [  # what the user named cannot be used
    ["render", "--shards", "out", "--method", "hed"],
    ["render", "--shards", "out", "--method", "teed", "--edge-weights", "none.pth"],
    ["render", "--shards", "out", "--tom", "runs/mnie"],
    ["render", "--shards", "out", "--tom", "unfinished"],
    ["render", "--shards", "out", "--tom", "other"],
    ["render", "--shards", "out", "--images", "nowhere"],
    ["render", "--shards", "out", "--images", "photos/*.png", "--method", "canny"],
    ["render", "--shards", "out", "--images", "binary.txt", "--method", "canny"],
    ["render", "--shards", "out", "--device", "cuda:99"],
    ["render", "--shards", "out", "--size", "512x512"],
    ["render", "--shards", "out", "--task-id", "3"],
    ["render", "--shards", "out", *CANNY, "--threshold", "0.1", "--low-threshold", "0.5"],
    ["render", "--shards", "other.json", "--method", "canny"],
    ["verify", "nowhere"],
    ["verify", "photos"],
    ["inspect", "photos"],
    ["gallery", "nowhere", "--html", "a.html"],
    ["gallery", "photos", "--html", "a.png"],
    ["gallery", "photos", "--html", "-"],
    ["gallery", "photos", "--png", "a.jpg"],
    ["tom-train", "--images", "nowhere"],
    ["tom-train", "--size", "33"],
    ["ae-train", "--shards", "nowhere"],
    ["ae-train", "--shards", "photos"],
    ["gan-train", "--ae", "runs/nowhere"],
    ["style2paints-train", "--shards", "nowhere"],
    ["segin-train", "--shards", "nowhere"],
    ["diffsketching-train", "--shards", "nowhere"],
    ["encoder-train", "--images", "photos", "--teacher", "nowhere.pth"],
    ["synthesize", "--out", "made", "--model", "nowhere"],
    ["synthesize", "--out", "made", "--model", "unfinished"],
    ["synthesize", "--out", "made.jpg"],
    ["export", "--run", "nowhere"],
    ["export", "--run", "other"],
    ["eval", "sketches", "--shards", "nowhere"],
    ["eval", "images", "--model", "nowhere", "--shards", "nowhere"],
    ["eval", "compare", "nowhere", "photos"],
    ["weights", "path", "nothing"],
]


@pytest.fixture
def things(tmp_path):
    """Files and folders that commands are wrongly given."""
    make_photos(tmp_path / "photos", 2)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    (tmp_path / "other.json").write_text("{}")
    for name, record in (
        ("unfinished", '{"format": "sketchforge-tom-run", "version": 2}'),
        ("other", '{"format": "something-else", "version": 1}'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(record)


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_input_ends_with_2_and_one_line(call, things, words):
    code, _, stderr = call(*words)
    assert (code, stderr.count("error: ")) == (2, 1), stderr
    assert stderr.count("\n") == 1
    assert "--overwrite" not in stderr
    assert not list(Path().glob("out*"))
    assert not list(Path().glob("made*"))


DAMAGED = [  # what is there is broken
    ["verify", "shards"],
    ["inspect", "shards"],
    ["weights", "check", "hed"],
    ["render", "--shards", "out", "--images", "bad", "--method", "canny", "--workers", "1"],
    ["encoder-train", "--images", "photos", "--teacher", "damaged.pth"],
    ["synthesize", "--out", "made", "--model", "damaged.safetensors"],
]


@pytest.mark.parametrize("words", DAMAGED, ids=" ".join)
def test_damaged_input_ends_with_1_and_one_line(call, tmp_path, words):
    make_photos(tmp_path / "photos", 2)
    for folder in ("shards", "bad"):
        (tmp_path / folder).mkdir()
    (tmp_path / "shards" / "manifest.json").write_text("{")
    for name in ("bad/a.jpg", "damaged.pth", "damaged.safetensors"):
        (tmp_path / name).write_text("no such thing")
    code, _, stderr = call(*words)
    assert (code, stderr.count("error: ")) == (1, 1), stderr


# One image, one file.


def test_an_image_is_written_where_one_is_asked_for(call, tmp_path):
    from tests.helpers.synthesis_models import ae_run, drawing

    model = ae_run(tmp_path / "run")
    drawing(tmp_path, "a.png")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "b.png")
    words = ["synthesize", "--model", model, "--threads", 1, "--sketch", "a.png", "--style", "b.png", "--out"]
    assert call(*words, "one.png")[:2] == (0, "one.png: 1 image\n")
    assert call(*words, "folder")[0] == 0
    assert Path("one.png").read_bytes() == Path("folder/a--b.png").read_bytes()
    code, _, stderr = call(*words[:-1], "--style", "a.png", "--out", "two.png")
    assert code == 2
    assert "synthesize makes 2 images" in stderr
    assert "such as two/" in stderr
    assert call(*words, "a.png")[0] == 2  # of somebody else
    assert call(*words, "one.png")[0] == 0  # of ours


# The module that is run.


def test_a_foreign_cli_file_in_the_folder_is_named(tmp_path):
    (tmp_path / "cli.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "sketchforge", "--help"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'cli.py'} shadows sketchforge's own package `cli`")
    assert "rename it, or type `sketchforge …`" in done.stderr


def test_a_model_says_what_it_is(tmp_path):
    import sketchforge
    from tests.helpers.synthesis_models import ae_run

    model = sketchforge.load(ae_run(tmp_path / "run"), device="cpu")
    assert repr(model) == "<Synthesizer: 64 pixels, auto-encoder alone, on cpu>"


def test_the_package_tells_its_version():
    done = run_python("import sketchforge; print(sketchforge.__version__)")
    assert done.stdout.strip()
    assert done.stderr == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_comes_out_as_another_error_is_an_interruption(
    number, code, monkeypatch, capsys, tmp_path
):
    """As where a library's native code turns whatever its callback raises into an error of its own."""

    def read(*_):
        try:
            signal.raise_signal(number)
        except BaseException:
            raise SketchforgeError("weights: cannot be read") from None

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("sketchforge.render.render.render", read)
    try:
        assert run(["render", "--method", "canny", "--shards", str(tmp_path / "out")]) == code
    finally:
        for signal_number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(signal_number, handler)
    told = capsys.readouterr().err
    assert told.strip() == "interrupted: nothing was begun yet, what was finished before is kept"
