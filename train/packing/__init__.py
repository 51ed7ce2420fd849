"""Training data as a few folders of limited size that OpenCV alone can read."""
