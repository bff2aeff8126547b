"""Pruning one trained model in many ways: every criterion at several budgets, refitted, distilled, and the report."""
