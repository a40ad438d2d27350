"""Documents to passages to embeddings to FAISS (+ BM25) to hits."""
