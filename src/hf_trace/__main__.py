"""``python -m hf_trace`` is ``hf-trace``."""

from hf_trace.cli import main

if __name__ == "__main__":
    main()
