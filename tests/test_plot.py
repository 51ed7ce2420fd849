"""Drawing without a library: letters, dots, lines."""

import torch

from lanhdr_cli.plot import GLYPHS, Canvas, letter_mask, text_width


def test_every_sign_is_five_by_seven_and_unlike_the_others() -> None:
    masks = {sign: letter_mask(sign, scale=1) for sign in GLYPHS}
    assert {mask.shape for mask in masks.values()} == {(7, 5)}
    assert len({mask.tobytes() for mask in masks.values()}) == len(GLYPHS)


def test_text_grows_with_its_scale_and_small_letters_are_capitals() -> None:
    mask = letter_mask("ab1", scale=3)
    assert mask.shape == (21, text_width("AB1", scale=3))
    assert (mask == letter_mask("AB1", scale=3)).all()
    assert (letter_mask("\u00e9", scale=1) == letter_mask("?", scale=1)).all()


def test_what_lies_outside_is_cut_off() -> None:
    canvas = Canvas(20, 10)
    canvas.dot(-1, -1, radius=3, color=(1, 0, 0))
    canvas.dot(19, 9, radius=3, color=(1, 0, 0))
    canvas.dot(500, -500, radius=3, color=(1, 0, 0))
    canvas.text("far too long for it", 5, 5)
    canvas.line((-30, 5), (50, 5), color=(0, 0, 1), thickness=1)
    canvas.rectangle(-5, 8, width=100, height=100, color=(0, 1, 0))
    picture = canvas.picture()
    assert picture.shape == (3, 10, 20)
    assert picture[:, 0, 0].tolist() == [1, 0, 0]
    assert (picture[:, 5] == torch.tensor([0.0, 0.0, 1.0]).view(3, 1)).all()
    assert (picture[:, 8:] == torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1)).all()


def test_an_empty_sheet_is_white_and_half_opaque_is_half_way() -> None:
    canvas = Canvas(4, 4)
    assert (canvas.picture() == 1).all()
    canvas.rectangle(0, 0, width=2, height=4, color=(0, 0, 0), opacity=0.5)
    assert canvas.picture()[0, 0].tolist() == [0.5, 0.5, 1, 1]
