"""Rewriting networks into smaller modules: fire, depthwise and pointwise, flame; fewer filters; fewer layers."""

from sphereslim.substitute.modules import MODULES, module_weights
from sphereslim.substitute.replace import replaceable, substitute
from sphereslim.substitute.shallow import drop_layers
from sphereslim.substitute.shrink import shrink, shrink_alike

__all__ = ['MODULES', 'drop_layers', 'module_weights', 'replaceable', 'shrink', 'shrink_alike', 'substitute']
