"""Which tiles a network is not trained on, and how honest that split is."""
