import socket
import urllib.request

import pytest
import tensorflow_datasets as tfds

from common import voc, voc_tfds
from common.errors import UserError
from common.sample import make_sample


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """TensorFlow Datasets' own voc/2007 builder, with drawings for the archives it would download."""
    source = make_sample(tmp_path / "sample", train=14, val=13, test=5)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "tfds"), raising=False)

    def download_and_extract(self, archives):
        return {name: str(source.parent.parent) for name in archives}

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", download_and_extract)
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=str(tmp_path / "tfds")))
    return source


def test_what_tensorflow_datasets_gives_equals_the_official_files(fetch, tmp_path):
    made, *_ = voc.locate("tfds", tmp_path / "cache")
    for split in ("train", "val", "trainval", "test"):
        ids, values = voc.read_lists(made, split)
        expected_ids, expected_values = voc.read_lists(fetch, split)
        assert ids == expected_ids
        assert (values == expected_values).all()
        assert split == "test" or (expected_values == 0).any()  # only difficult ones, which don't count
    for jpeg in (fetch / "JPEGImages").iterdir():
        assert (made / "JPEGImages" / jpeg.name).read_bytes() == jpeg.read_bytes()


def test_it_is_fetched_once(fetch, tmp_path, monkeypatch):
    first = voc_tfds.make_voc_layout(tmp_path / "cache")
    monkeypatch.setattr(tfds, "builder", None)
    assert voc_tfds.make_voc_layout(tmp_path / "cache") == first


def test_a_damaged_copy_of_tensorflow_datasets_is_named(fetch, tmp_path):
    voc_tfds.make_voc_layout(tmp_path / "first")
    for records in (tmp_path / "tfds").rglob("*.tfrecord*"):
        records.write_bytes(records.read_bytes()[:-40])
    with pytest.raises(
        UserError, match="^.*tfds.*: TensorFlow Datasets' copy of voc/2007 is damaged; remove"
    ):
        voc_tfds.make_voc_layout(tmp_path / "second")
    assert not list((tmp_path / "second").rglob("*.jpg"))


def test_no_network_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    """At once: nothing is tried to be downloaded."""

    def no_network(*_):
        raise OSError("host not found\nmore about it")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=str(tmp_path / "tfds")))
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", None)
    with pytest.raises(UserError) as refused:
        voc_tfds.make_voc_layout(tmp_path / "cache")
    assert "host not found" in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "cache" / "VOCdevkit" / "VOC2007").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/cache: can't be written"):
        voc_tfds.make_voc_layout(tmp_path / "file" / "cache")
