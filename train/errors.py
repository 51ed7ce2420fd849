"""Errors of training data that a user can cause."""

from model.errors import LanHdrError


class DatasetError(LanHdrError):
    """A folder or file of training or test pictures is missing, empty or unreadable."""
