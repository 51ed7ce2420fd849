"""Readers and writers of pictures, video and sound."""
