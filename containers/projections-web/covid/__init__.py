"""Choose a county and measures, have it projected, see the result."""
