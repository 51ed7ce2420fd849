"""Errors of training and measuring that a user can cause."""

from model.errors import LanHdrError


class TrainError(LanHdrError):
    """A training run cannot start, go on, or be resumed."""


class DatasetError(LanHdrError):
    """A folder or file of training or test pictures is missing, empty or unreadable."""


class RecipeError(LanHdrError):
    """A recipe cannot be read, has a key that nobody knows, or a value that makes no sense."""
