"""What the commands draw: pages, grids, shaded prompts, and their templates."""
