"""Pictures of faces for training and verification: synthetic people, alignment, lists and pairs."""
