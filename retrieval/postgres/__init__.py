"""The store whose passages are in a PostgreSQL database: vectors by pgvector, words by BM25, filters in SQL."""
