"""Python layers that networks name in `python_param`; PYTHONPATH has to lead to the folder of `sphereslim`."""
