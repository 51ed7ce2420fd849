"""Errors of files and streams that a user can cause."""

from model.errors import OFF, LanHdrError


class MediaError(LanHdrError):
    """A file can't be read or written, or holds something that lanhdr can't use."""


class DamageError(MediaError):
    """A clip is damaged, and the user wants no frame that is concealed or left out."""

    exit_code = OFF
