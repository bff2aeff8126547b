"""A run's curves beside published ones: lined up, judged, drawn."""
