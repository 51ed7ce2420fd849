"""LAN-HDR as functions of tensors: frames in, radiance out; it knows nothing of files or users."""
