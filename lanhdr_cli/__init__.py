"""Files in, files out, and the words that the user types."""
