"""Names and edges in files of other programs: networks, tables, documents."""
