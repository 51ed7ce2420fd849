"""Evaluation against ground truth: benchmarks, methods, metrics, results and reports."""
