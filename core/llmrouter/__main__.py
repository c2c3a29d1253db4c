"""`python -m llmrouter`."""

from __future__ import annotations

from llmrouter.cli import main

if __name__ == "__main__":
    main()
