"""Training a stage folder with `caffe train`: its schedule, its run, its first weights."""
