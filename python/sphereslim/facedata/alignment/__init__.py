"""From a photo to an aligned face: detection with five landmarks, and the turn, scale and shift to 112x96."""
