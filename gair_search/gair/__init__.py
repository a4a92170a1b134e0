"""GAIR, generation aided image retrieval (Perera et al., section 4.4). Read `algorithm` first."""
