"""The layers of SphereFace and SphereFace+: margins on the hypersphere."""
