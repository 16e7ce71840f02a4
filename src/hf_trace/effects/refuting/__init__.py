"""What speaks against an effect: placebos, subsets, independences that the rows contradict, a confounder nobody saw."""
