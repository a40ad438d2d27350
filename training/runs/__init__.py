"""Training runs from a configuration, one per objective, on the trainers of TRL."""
