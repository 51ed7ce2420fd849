"""A mutation fuzzer of what `lanhdr` reads: clips, pictures, lists of exposures, analyses, responses and weights.

`python -m tools.fuzz --help` says how to run it; CONTRIBUTING.md says when.
"""
