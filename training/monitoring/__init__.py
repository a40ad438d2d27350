"""What a training does to the answers of a model while it runs: measures, stop rules, and a page."""
