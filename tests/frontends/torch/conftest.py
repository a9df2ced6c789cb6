"""Without torch nothing here is collected."""

from importlib.util import find_spec

collect_ignore_glob: list[str] = []
if find_spec("torch") is None:
    collect_ignore_glob.append("*")
else:
    import torch

    torch.set_num_threads(1)
