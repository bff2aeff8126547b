"""What the fuzzers feed the engine: damaged and absurd input, whole files of any bytes. Tests repeat their findings."""
