"""Benchmarks: published sets, folders of clips, and clips made on the spot."""
