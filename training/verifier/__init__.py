"""Training of the verifier: its data, made corruptions, and the training itself."""
