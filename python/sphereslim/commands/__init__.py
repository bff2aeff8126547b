"""The `sphereslim` program: one module for every command, in rooms, over the library."""
