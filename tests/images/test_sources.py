"""Keys are unique, stable and safe; folders are walked whole and in order."""

import itertools
import os
import random
import re

import pytest

from sketchforge.errors import UsageError
from sketchforge.images.decode import ImageError
from sketchforge.images.sources import EXTENSIONS, MAX_KEY, builtin_images, find_images, image_key
from sketchforge.images.sources.keys import readable_extensions

AWKWARD = [
    "a.b.jpg", "a_b.jpg", "a__b.jpg", "a/b.jpg", "a_/b.jpg", "a/_b.jpg", "a b.jpg", "a-b.jpg", "x.jpg",
    "x.png", "x.jpeg", "X.jpg", "x.JPG", "x.Jpg", "x_jpg.jpg", "x_png.jpg", "x_png.png", "x/png.jpg",
    "x_.png", "-rf.jpg", "--.jpg", "日本.jpg", "中国.jpg", "é.jpg", "e\u0301.jpg", "..jpg.jpg", ".jpg.jpg",
    "a-0123456789abcdef.jpg", "l" * 300 + ".jpg", "l" * 301 + ".jpg", "d/" * 60 + "x.jpg", "a\nb.jpg",
    "a\tb.jpg", "a'b.jpg", 'a"b.jpg', "a\\b.jpg", "con.jpg", "*.jpg", "\udcff.jpg", "_.jpg",
]  # fmt: skip


def test_awkward_names_get_distinct_safe_keys():
    keys = [image_key(name) for name in AWKWARD]
    assert len({key.lower() for key in keys}) == len(AWKWARD)
    for key in keys:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", key), key
        assert len(key) <= MAX_KEY


def test_keys_of_all_short_names_are_distinct():
    """Every name over an alphabet chosen to collide: separators, the text of an ending, a capital, a dot."""
    stems = [
        "".join(parts) for length in (1, 2, 3, 4) for parts in itertools.product("a_/.-A", repeat=length)
    ]
    stems = [stem for stem in stems if stem.strip("/") == stem and "//" not in stem and stem.strip("./")]
    names = [f"{stem}{end}" for stem in stems for end in (".jpg", ".png", "_png.jpg", ".JPG")]
    assert len({image_key(name).lower() for name in names}) == len(set(names))


def test_a_file_named_like_a_hashed_key_gets_another():
    hashed = image_key("a.b.jpg")
    assert image_key(f"{hashed}.jpg") != hashed


def test_plain_names_stay_readable():
    assert image_key("cats/tom.jpg") == "cats__tom"
    assert image_key("cats/tom.png") == "cats__tom_png"
    assert re.fullmatch(r"a_b-[0-9a-f]{16}", image_key("a.b.jpg"))


def test_images_are_found_in_order_at_any_depth(tmp_path):
    wanted = ["a.jpg", "b/c.PNG", "b/d/e.webp", "z.tiff"]
    for name in [*wanted, ".hidden.jpg", ".git/x.jpg", "b/notes.txt", "__MACOSX/a.jpg", "c.jpg.part"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))
    found = find_images(tmp_path)
    assert [image.source for image in found] == wanted
    assert [image.image.num_bytes for image in found] == [len(name) for name in wanted]
    assert [image.read() for image in found] == [b"x" * len(name) for name in wanted]


def test_order_does_not_depend_on_creation(tmp_path):
    names = [f"{index:02d}.jpg" for index in range(20)] + ["B.jpg", "a.jpg", "é.jpg"]
    for folder, order in (("one", names), ("two", random.Random(0).sample(names, len(names)))):
        for name in order:
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).touch()
    one, two = (find_images(tmp_path / folder) for folder in ("one", "two"))
    assert [(image.key, image.source) for image in one] == [(image.key, image.source) for image in two]


def test_removing_a_file_renames_no_other(tmp_path):
    for name in ("x.jpg", "x.png", "x.jpeg", "X.jpg", "x.y.jpg"):
        (tmp_path / name).touch()
    before = {image.source: image.key for image in find_images(tmp_path)}
    (tmp_path / "x.jpg").unlink()
    after = {image.source: image.key for image in find_images(tmp_path)}
    assert after == {name: key for name, key in before.items() if name != "x.jpg"}


def test_links_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"a")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    found = find_images(tmp_path)
    assert [image.source for image in found] == ["gone.jpg", "real/a.jpg"]
    with pytest.raises(ImageError) as error:
        found[0].read()
    assert error.value.reason == "no such file"


def test_our_own_output_is_not_an_input(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text('{\n "format": "sketchforge-shards"\n}')
    (tmp_path / "out" / "sheet.png").touch()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "manifest.json").write_text("{}")
    (tmp_path / "theirs" / "b.png").touch()
    assert [image.source for image in find_images(tmp_path)] == ["a.jpg", "theirs/b.png"]


def test_missing_and_empty_folders_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        find_images(tmp_path / "nowhere")
    (tmp_path / "file.doc").touch()
    with pytest.raises(UsageError, match="not a folder, a tar"):
        find_images(tmp_path / "file.doc")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as error:
        find_images(tmp_path / "empty")
    assert all(f".{extension}" in str(error.value) for extension in readable_extensions())


def test_keys_do_not_depend_on_what_this_machine_reads():
    assert {"heic", "heif", "hif"} <= set(EXTENSIONS)
    assert image_key("x.heic") == "x_heic"


def test_a_folder_of_shards_is_named_by_its_tars(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": "sketchforge-shards"}')
    (tmp_path / "sheet.png").touch()
    with pytest.raises(UsageError, match=rf"shards made by sketchforge.*--images '{tmp_path}/\*\.tar'"):
        find_images(tmp_path)


def test_folders_that_exist_by_the_very_name_in_a_pattern_are_taken_by_it(tmp_path):
    for folder in ("photos [2019]", "photos 2", "{a,b}", "sub/deep [x]"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "p.jpg").touch()
    for pattern in ("photos [2019]/*.jpg", "{a,b}/p.*", "sub/deep [x]/**/*.jpg"):
        folder, name = os.path.split(pattern.replace("/**", ""))
        (image,) = find_images(f"{tmp_path}/{pattern}")
        assert image.image.file.path == f"{tmp_path}/{folder}/p.jpg"
        assert (image.source, image.key) == ("p.jpg", "p")
    # Where there is none by that name, the brackets are a wildcard.
    (image,) = find_images(f"{tmp_path}/photos [1-3]/*.jpg")
    assert image.source == "photos 2/p.jpg"


def test_two_stars_match_at_any_depth_and_as_a_shell_does(tmp_path):
    for name in ("a.jpg", "b/c.jpg", "b/d/e.jpg", "b/.hidden/f.jpg", "b/d/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [image.source for image in find_images(f"{tmp_path}/**/*.jpg")] == [
        "a.jpg",
        "b/c.jpg",
        "b/d/e.jpg",
    ]
    assert [image.source for image in find_images(f"{tmp_path}/b/**/e.*")] == ["d/e.jpg", "d/e.png"]
    assert [image.source for image in find_images(f"{tmp_path}/*/**/d/*.jpg")] == ["b/d/e.jpg"]


def test_lists_may_come_from_any_editor(tmp_path):
    for name in ("a.jpg", "é.jpg", "#c.jpg"):
        (tmp_path / name).touch()
    text = "# images\r\n\r\na.jpg\r\né.jpg\r\n#c.jpg\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "list.txt").write_bytes(text.encode(encoding))
        assert [image.source for image in find_images(tmp_path / "list.txt")] == ["a.jpg", "é.jpg", "#c.jpg"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pipe:cat a.jpg", "commands are not read; copy or mount"),
        ("C:\\photos\\a.jpg", "a path of Windows"),
        ("photos\\a.jpg", "a path of Windows"),
        ("\\\\server\\a.jpg", "a path of Windows"),
        ("more", "a folder; a list names files"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="there they are paths")
def test_lists_say_in_which_line_they_name_no_file(tmp_path, line, said):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "list.txt").write_text(f"a.jpg\n\n{line}\n")
    with pytest.raises(UsageError, match=said) as error:
        find_images(tmp_path / "list.txt")
    assert f"list.txt, line 3: {line}: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"\xff\xfe\0", b"a\0b.jpg\n", b"caf\xe9.jpg\n"])
def test_lists_that_are_no_text_are_wrong_usage(tmp_path, data):
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(UsageError, match="list.txt: not a list of files; expected text in UTF-8"):
        find_images(tmp_path / "list.txt")


def test_commands_are_refused_in_one_line():
    with pytest.raises(UsageError, match="--images .*commands are not read; copy or mount"):
        find_images("pipe:cat x.tar")


def test_names_with_backslashes_and_colons_are_names_where_such_files_are(tmp_path):
    for name in ("a\\b.jpg", "pipe:x.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("a\\b.jpg\npipe:x.jpg\n")
    assert len(find_images(tmp_path / "list.txt")) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows names are not bytes")
def test_names_that_are_not_utf8_can_be_written_down(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff.jpg", "wb") as file:
        file.write(b"x")
    (image,) = find_images(tmp_path)
    assert image.source.encode("utf-8") == b"\\xff.jpg"
    assert image.read() == b"x"


def test_built_in_images_have_keys_and_images():
    from sketchforge.images.decode import read_image

    images = builtin_images()
    assert len(images) >= 20
    assert len({image.key for image in images}) == len(images)
    assert read_image(images[0].read()).shape == (256, 256, 3)
    assert list(images) == list(builtin_images())
