"""GAIR, generation-aided image retrieval (Perera et al., section 4.4): Algorithm 1 in one place."""
