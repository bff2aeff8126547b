"""Tables, figures and pages of any run."""
