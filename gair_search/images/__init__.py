"""Pictures in, pixels out: files, folders, decoding, preprocessing, decoding processes."""
