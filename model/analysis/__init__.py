"""Analysis of a clip without a network: exposures, camera response, flicker and black level."""
