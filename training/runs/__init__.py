"""Training runs from a configuration file, one per objective, on TRL's trainers."""
