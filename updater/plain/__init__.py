"""A host on which nothing of ours is set up: what lies on its disk, and what its clamd really runs.

Nothing here changes anything; ``marked`` alone does, when the operator asks for it.
"""
