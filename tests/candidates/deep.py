"""A step that fails forty calls down, each by another line."""


def down(levels):
    if levels == 0:
        raise RuntimeError("the bottom is reached")
    if levels % 2:
        return down(levels - 1)
    return 1 + down(levels - 1)


def step(x, weights, means, variances):
    return down(40)
