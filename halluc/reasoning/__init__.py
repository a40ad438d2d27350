"""Check worked solutions: their steps, arithmetic and units."""
