"""Make a network smaller by other means: bits, modules, a teacher."""
