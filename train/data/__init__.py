"""Training data: pictures and clips below a folder, and their batches."""
