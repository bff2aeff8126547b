"""SphereFace+: its trainings, what the inter-class term does, the report of both."""
