"""Jobs on a Slurm cluster: write their scripts, submit them, and show their states."""
