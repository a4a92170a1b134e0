"""The frozen CLIP: text tower, image tower, token reweighting, identity, loading."""
