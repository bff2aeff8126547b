"""Work on blobs that a GPU replays: captured once as a CUDA graph, whose kernels are then queued by a single call."""
