"""Errors of files and streams that a user can cause."""

from model.errors import LanHdrError


class MediaError(LanHdrError):
    """A file can't be read or written, or holds something that lanhdr can't use."""
