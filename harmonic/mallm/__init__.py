"""MALLM-GAN (arXiv 2406.10521) on a local model, for tables of a few rows."""
