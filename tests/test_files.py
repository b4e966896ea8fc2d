import pytest

from common import files
from common.errors import UserError


def test_a_folder_that_can_be_written_is_made_and_left_empty(tmp_path):
    files.check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_that_can_not_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/within: can't be written \(Not a directory\); give another"):
        files.check_writable(tmp_path / "file" / "within")
