"""Which channels belong together, and cutting them out of nets and weights."""
