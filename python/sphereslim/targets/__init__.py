"""Programs and chips that nets are made for: what each reads, and what of a net it does not."""
