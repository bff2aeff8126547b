"""Clips: frames of videos, and how they are cropped."""
