"""What a table is and what may stand in it: schemas, sources, cells, splits and neighbours."""
