"""Treatments that depend on the row, and treatments that are amounts: doubly robust, from the rows of a table."""
