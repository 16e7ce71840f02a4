"""Logs whose causes are known, every method that ranks them, and one table."""
