"""Training of the verifier: data, corrupted claims, and the training itself."""
