"""Several groups with rewards of their own: aggregation, what each gains and pays, and distributions of opinions."""
