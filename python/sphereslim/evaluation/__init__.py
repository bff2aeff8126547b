"""How good a net is: features, verification, ROC, output distances, speed."""
