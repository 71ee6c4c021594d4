"""What backtime costs and gains, measured; ``python -m benchmarks`` runs all. See docs/benchmarks.md."""
