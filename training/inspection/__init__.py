"""What a training changed in a model: its weights, its predictions and what its hidden states tell apart."""
