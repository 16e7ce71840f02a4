"""Simulated worlds whose causes are known (TRACE, arXiv 2602.01135, Eq. 21), to measure discovery against."""
