"""Pictures of a report: what is stored is what was given."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from train.errors import DatasetError
from train.report import picture_row, write_png


def test_a_row_shows_its_pictures_side_by_side(tmp_path: Path) -> None:
    left, right = torch.zeros(3, 4, 6), torch.full((3, 4, 2), 2.0)  # too bright is white
    left[0] = 0.2
    row = picture_row([left, right])
    assert row.shape == (4, 8, 3)
    assert row[0, 0].tolist() == [51, 0, 0]
    assert (row[:, 6:] == 255).all()
    write_png(tmp_path / "new" / "row.png", row)
    assert np.array_equal(np.asarray(cv2.imread(str(tmp_path / "new" / "row.png")))[..., ::-1], row)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="choose another folder"):
        write_png(tmp_path / "file" / "row.png", np.zeros((2, 2, 3), np.uint8))
