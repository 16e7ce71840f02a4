"""Every formula that observations allow for an intervention, and how far the answer lies where there is none."""
