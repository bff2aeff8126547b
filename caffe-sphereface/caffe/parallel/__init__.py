"""Training one net in several processes: on the GPUs of a machine, on several machines, or on the CPU."""
