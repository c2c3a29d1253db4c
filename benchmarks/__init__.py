"""Measures llmrouter beside other gateways: `python -m benchmarks`. How, and what for: README.md."""
