"""Jobs on a Slurm cluster: their scripts, handing them in, and what became of them."""
