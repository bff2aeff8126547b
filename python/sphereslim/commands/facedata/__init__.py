"""Prepare faces to train and verify on: synthetic ones, or photos."""
