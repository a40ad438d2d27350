"""Chain-of-verification (Dhuliawala et al. 2023, arXiv 2309.11495): draft, plan questions, answer them, revise."""
