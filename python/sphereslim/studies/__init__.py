"""The sources reproduced: plans of runs, their tables and reports."""
