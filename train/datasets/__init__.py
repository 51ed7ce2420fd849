"""Where pictures come from: panoramas, photos and videos held in memory, and procedural ones."""
