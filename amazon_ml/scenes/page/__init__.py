"""``map.html``: the cells of a scene, or of a comparison, on the picture of the ground."""
