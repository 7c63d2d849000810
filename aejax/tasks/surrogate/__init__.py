"""Maps of spectra: compressed to few numbers, and predicted from properties."""
