"""One module for each change of the tables, in order; each says what it follows."""
