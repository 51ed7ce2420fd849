"""Samples as the recipes that come along draw them."""

from train.config import read_recipe
from train.sampling_config import SampleRecipe


def guided_samples(nexps: int) -> SampleRecipe:
    """Read how `guided_2e` or `guided_3e` draws samples."""
    return read_recipe(f"guided_{nexps}e").samples
