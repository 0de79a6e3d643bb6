"""``ops projections``: epidemic projections and their site (FargateSpotRunner)."""
