"""Rewriting networks into smaller modules: fire, depthwise and pointwise, flame; fewer filters; fewer layers."""

from sphereslim.rewrite.modules import MODULES, module_weights
from sphereslim.rewrite.replace import replaceable, substitute
from sphereslim.rewrite.shallow import drop_layers
from sphereslim.rewrite.shrink import shrink, shrink_alike

__all__ = ['MODULES', 'drop_layers', 'module_weights', 'replaceable', 'shrink', 'shrink_alike', 'substitute']
