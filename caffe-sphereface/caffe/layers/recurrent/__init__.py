"""Layers over sequences: RNN and LSTM."""
