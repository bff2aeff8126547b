"""Numbers out of a running net: chosen blobs, patches, least squares over what was sampled."""
