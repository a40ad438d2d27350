"""The benchmarks, one file each; `halluc.evaluation.table` lists them."""
