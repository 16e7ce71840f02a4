"""Cards, repositories and data sets on the Hugging Face Hub."""
