"""Training samples made from pictures and clips: scenes, virtual cameras and captures."""
