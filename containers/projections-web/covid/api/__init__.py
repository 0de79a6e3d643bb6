"""The JSON API, with the paths of the original site."""
