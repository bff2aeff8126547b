"""Layers that multiply: inner products, embeddings, sums and products of blobs."""
