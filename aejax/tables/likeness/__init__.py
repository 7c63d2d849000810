"""How like a table of new rows is to a table of real ones: columns, pairs, classifiers, nearest rows."""
