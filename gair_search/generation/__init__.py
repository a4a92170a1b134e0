"""Conditioning in, images out."""
