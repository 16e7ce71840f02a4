"""How questions about a table are to be answered, and their answers as plain documents."""
