"""Chain-of-verification (Dhuliawala et al. 2023, arXiv 2309.11495): draft, question the draft, answer, revise."""
