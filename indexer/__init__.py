"""Folders into galleries: scan, plan, load, embed, store."""
