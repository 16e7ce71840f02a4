"""Where the package meets the Hugging Face world: pipelines, run folders, training, publishing."""
