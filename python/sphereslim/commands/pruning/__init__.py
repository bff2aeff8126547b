"""Prune a trained network: channel groups, what each is worth, selection, cutting, refitting, fine-tuning."""
