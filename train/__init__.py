"""Whatever needs ground truth: to learn from it, or to be measured against it."""
