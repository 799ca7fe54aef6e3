"""A network of a single block, for tests that export it: each node of a network's graph takes time."""

#: Options of training, after those of `TINY`.
ONE_BLOCK = ["--model.backbone=test_mambaout", "--model.backbone_args={depths: [1], dims: [16]}"]
