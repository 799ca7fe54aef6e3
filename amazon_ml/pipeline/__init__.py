"""Whole jobs: training from tiles to a submission, finishing a run, blending runs, finding rate and batch size."""
