"""VOC's class lists as labels and weights, the places data is found, and what is wrong with bad lists."""

from pathlib import Path

import numpy as np
import pytest

from common import cli, sample, voc
from common.errors import UserError
from tests.conftest import VOC_CLASSES

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "VOCdevkit" / "VOC2007"
SPLITS = ("train", "val", "trainval", "test")


@pytest.fixture
def tiny(write_voc, tmp_path):
    return write_voc(tmp_path / "data")


def list_of(tiny, name: str = "aeroplane", split: str = "train") -> Path:
    return tiny.folder / "ImageSets" / "Main" / f"{name}_{split}.txt"


def message_of(tiny, split: str = "train") -> str:
    """What the user is told about the lists of `split`; one line."""
    with pytest.raises(UserError) as raised:
        voc.read_lists(tiny.folder, split)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("split", SPLITS)
def test_images_labels_and_weights_of_each_split(tiny, tmp_path, split):
    images, labels, weights = voc.load_pascal(tiny.folder, split, 16, cache_dir=tmp_path / "cache")
    values = tiny.values[split]
    assert (images.shape, images.dtype) == ((len(values), 16, 16, 3), np.uint8)
    assert labels.dtype == weights.dtype == np.float32
    meaning = {1: (1, 1), -1: (0, 1), 0: (0, 0)}  # value in the list: label, weight
    expected = np.array([[meaning[value] for value in row] for row in values])
    np.testing.assert_array_equal(labels, expected[..., 0])
    np.testing.assert_array_equal(weights, expected[..., 1])


def test_folders_may_be_strings_as_the_handout_has_them(tiny, tmp_path):
    images, _, _ = voc.load_pascal(str(tiny.folder), "test", 16, cache_dir=str(tmp_path / "cache"))
    assert len(images) == len(tiny.ids["test"])


@pytest.mark.parametrize(("split", "way_out"), [("trainval", "--skip_bad_images"), ("test", "is scored")])
def test_what_to_do_about_a_bad_image_depends_on_its_split(tiny, tmp_path, split, way_out):
    (tiny.folder / "JPEGImages" / f"{tiny.ids[split][0]}.jpg").write_bytes(b"no")
    with pytest.raises(UserError, match=f"{tiny.ids[split][0]}.jpg: is not a JPEG; replace it, .*{way_out}"):
        voc.load_examples(tiny.folder, split, 16, tmp_path / "cache")


def test_a_test_split_without_any_class_is_refused(tiny, tmp_path):
    for path in (tiny.folder / "ImageSets" / "Main").glob("*_test.txt"):
        path.write_text(path.read_text().replace(" 1", "-1"))
    options = cli.DataOptions(data_dir=str(tiny.folder), cache_dir=tmp_path / "cache")
    with pytest.raises(UserError, match=f"{tiny.folder}: no test image shows any class"):
        voc.load_test(options, 16)


def test_examples_carry_their_ids(tiny, tmp_path):
    examples = voc.load_examples(tiny.folder, "test", 16, tmp_path / "cache")
    assert list(examples.ids) == tiny.ids["test"]


def test_a_skipped_image_takes_its_labels_and_id_with_it(tiny, tmp_path):
    (tiny.folder / "JPEGImages" / f"{tiny.ids['train'][1]}.jpg").write_bytes(b"")
    examples = voc.load_examples(tiny.folder, "train", 16, tmp_path / "cache", skip_bad_images=True)
    assert list(examples.ids) == [tiny.ids["train"][0], tiny.ids["train"][2]]
    assert len(examples.images) == 2
    np.testing.assert_array_equal(examples.labels, tiny.values["train"][[0, 2]] == 1)
    np.testing.assert_array_equal(examples.weights, tiny.values["train"][[0, 2]] != 0)


def test_an_unreadable_image_is_named(tiny, tmp_path):
    image = tiny.folder / "JPEGImages" / f"{tiny.ids['test'][2]}.jpg"
    image.unlink()
    with pytest.raises(UserError, match=f"^{image}: "):
        voc.load_pascal(tiny.folder, "test", 16, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    "text",
    [
        "000001  1\n000002 -1\n000003  0\n",
        "000001 1\n000002 -1\n000003 0",
        "000001  1\r\n000002 -1\r\n000003  0\r\n",
        "\n  000001\t1\t \n\n000002 \t -1\n\t\n000003    0\n\n",
    ],
    ids=["official", "no last newline", "CRLF", "tabs and blank lines"],
)
def test_any_white_space_between_fields_and_lines(tiny, text):
    list_of(tiny, "bird").write_bytes(text.encode())
    ids, values = voc.read_lists(tiny.folder, "train")
    assert ids == ["000001", "000002", "000003"]
    expected = tiny.values["train"].copy()
    expected[:, VOC_CLASSES.index("bird")] = [1, -1, 0]
    np.testing.assert_array_equal(values, expected)


def test_lists_may_differ_in_order(tiny):
    path = list_of(tiny, "cow")
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    ids, values = voc.read_lists(tiny.folder, "train")
    assert ids == tiny.ids["train"]
    np.testing.assert_array_equal(values, tiny.values["train"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("000002", "expected an image id and 1, 0 or -1, found '000002'"),
        ("000002 1 1", "expected an image id and 1, 0 or -1, found '000002 1 1'"),
        ("000002 2", "expected an image id and 1, 0 or -1, found '000002 2'"),
        ("000002 1.0", "expected an image id and 1, 0 or -1, found '000002 1.0'"),
        ("000002 yes", "expected an image id and 1, 0 or -1, found '000002 yes'"),
        ("../../etc/passwd 1", "'../../etc/passwd' can't be an image id"),
        ("/etc/passwd 1", "'/etc/passwd' can't be an image id"),
        ("a/b 1", "'a/b' can't be an image id"),
        ("..\\x 1", "can't be an image id"),
        (". 1", "'.' can't be an image id"),
        ("000001 1", "000001 is listed twice"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tiny, line, reason):
    path = list_of(tiny, "dog")
    path.write_text(f"000001  1\n\n{line}\n000003 -1\n")
    message = message_of(tiny)
    assert message.startswith(f"{path}:3: ")
    assert f"{reason}; unpack the data set again" in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", " lists no images; unpack"),
        (b"\n \r\n", " lists no images; unpack"),
        (bytes(range(256)), " is not text; unpack"),
        (b"\xff\xd8\xff\xe0", " is not text; unpack"),
        (b"\0" * 99, "1: expected an image id"),
    ],
)
def test_an_empty_or_binary_list_is_named(tiny, content, reason):
    path = list_of(tiny, "tvmonitor", "val")
    path.write_bytes(content)
    assert message_of(tiny, "val").startswith(f"{path}:{reason}")


def test_a_missing_list_is_named(tiny):
    path = list_of(tiny, "sofa", "test")
    path.unlink()
    assert message_of(tiny, "test").startswith(f"{path}: can't be read (No such file")


@pytest.mark.parametrize("name", ["aeroplane", "cat"])
def test_a_list_that_lacks_an_image_is_named_with_it(tiny, name):
    path = list_of(tiny, name)
    path.write_text("000001 -1\n000003 -1\n")
    message = message_of(tiny)
    assert message.startswith(f"{path}: ") and "000002" in message


@pytest.fixture
def no_data_dir(monkeypatch):
    monkeypatch.delenv("DATA_DIR", raising=False)


@pytest.mark.parametrize("above", ["VOC2007", "VOCdevkit", "data"])
def test_the_folder_or_one_above_it_is_accepted(tiny, tmp_path, no_data_dir, above):
    given = next(folder for folder in (tiny.folder, *tiny.folder.parents) if folder.name == above)
    assert voc.locate(str(given), tmp_path) == (tiny.folder, "VOC2007", "VOC2007")


def test_a_folder_of_ones_own_that_is_called_sample_is_not_the_built_in_one(tiny, tmp_path):
    own = tiny.folder.rename(tmp_path / "sample")
    assert voc.locate(str(own), tmp_path).title == "sample"


def test_without_the_flag_data_dir_of_the_environment_counts(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", str(tiny.folder))
    assert voc.locate(None, tmp_path)[0] == tiny.folder
    assert capsys.readouterr() == ("", "")


def test_the_flag_beats_the_environment(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "elsewhere"))
    assert voc.locate(str(tiny.folder), tmp_path)[0] == tiny.folder


@pytest.mark.parametrize("asked_by", ["--data_dir", "$DATA_DIR"])
@pytest.mark.parametrize(
    "kind",
    ["missing", "a file", "not VOC", "~no_such_user/VOC2007", pytest.param("x" * 300, id="name too long")],
)
def test_a_folder_that_is_not_vocs_is_one_line(tmp_path, monkeypatch, asked_by, kind):
    (tmp_path / "a file").touch()
    (tmp_path / "not VOC" / "JPEGImages").mkdir(parents=True)
    given = kind if kind.startswith("~") else str(tmp_path / kind)
    if asked_by == "--data_dir":
        monkeypatch.delenv("DATA_DIR", raising=False)
    else:
        monkeypatch.setenv("DATA_DIR", given)
    with pytest.raises(UserError) as raised:
        voc.locate(given if asked_by == "--data_dir" else None, tmp_path / "cache")
    message = str(raised.value)
    assert message.startswith(f"{given}: ")
    assert asked_by in message and "\n" not in message


def test_an_empty_data_dir_is_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"--data_dir is empty; is \$DATA_DIR set\?"):
        voc.locate("", tmp_path)


@pytest.mark.parametrize("environment", [None, ""])
def test_without_any_data_the_built_in_sample_is_used_and_said(tmp_path, monkeypatch, capsys, environment):
    monkeypatch.delenv("DATA_DIR", raising=False)
    if environment is not None:
        monkeypatch.setenv("DATA_DIR", environment)
    monkeypatch.setattr(sample, "make_sample", lambda root: root / "VOCdevkit" / "VOC2007")
    location, name, title = voc.locate(None, tmp_path)
    assert tmp_path in location.parents
    assert (name, title) == ("sample", "built-in sample")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "sample" in out and str(location) in out


def test_a_sample_that_cannot_be_written_is_one_line(tmp_path, no_data_dir):
    (tmp_path / "a file").touch()
    with pytest.raises(UserError, match="a file"):
        voc.locate(None, tmp_path / "a file" / "cache")


@pytest.mark.skipif(not REAL.exists(), reason="the real photos are not here")
@pytest.mark.parametrize("split, size", [("train", 2957), ("val", 730), ("trainval", 3687), ("test", 1406)])
def test_labels_and_weights_of_the_real_photos(monkeypatch, tmp_path, split, size):
    def no_decoding(cache_dir, paths, size, skip_bad, remedy):
        assert all(path.is_file() for path in paths)
        return np.empty((len(paths), 1, 1, 3), np.uint8), np.ones(len(paths), bool)

    monkeypatch.setattr(voc, "cached_images", no_decoding)
    images, labels, weights = voc.load_pascal(REAL, split, cache_dir=tmp_path)
    assert len(images) == size
    assert labels.shape == weights.shape == (size, 20)
    lists = [(REAL / "ImageSets" / "Main" / f"{name}_{split}.txt").read_text() for name in VOC_CLASSES]
    present = [text.count(" 1\n") for text in lists]
    difficult = [text.count(" 0\n") for text in lists]
    np.testing.assert_array_equal(labels.sum(axis=0), present)
    np.testing.assert_array_equal((weights == 0).sum(axis=0), difficult)
    assert not np.any(labels * (1 - weights))


@pytest.mark.skipif(not REAL.exists(), reason="the real photos are not here")
def test_trainval_of_the_real_photos_is_train_and_val_and_apart_from_test():
    ids = {split: set(voc.read_lists(REAL, split)[0]) for split in SPLITS}
    assert ids["train"] | ids["val"] == ids["trainval"]
    assert not ids["train"] & ids["val"]
    assert not ids["trainval"] & ids["test"]
