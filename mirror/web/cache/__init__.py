"""What a replica keeps on a disk of its own of a store that is somewhere else."""
