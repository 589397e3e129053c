"""training/train.py under FSDP as configs/accelerate/fsdp.yaml sets it, on CPU processes; the tests launch two.

Accelerate falls back to DDP on a CPU without a word, so its state is told otherwise here.
"""

import os
import sys
from pathlib import Path

import yaml
from accelerate import DistributedType
from accelerate.state import AcceleratorState
from torch.distributed.fsdp import FSDPModule

from training import train

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "accelerate" / "fsdp.yaml"

os.environ["ACCELERATE_USE_FSDP"] = "true"
for name, value in yaml.safe_load(CONFIG.read_text())["fsdp_config"].items():
    # As accelerate launch passes them on.
    os.environ[name.upper().replace("_LAYER_CLS", "_CLS")] = str(value)

begin, given = AcceleratorState.__init__, {}


def begin_with_fsdp(self, *args, **how):
    begin(self, *args, **how)
    given.update(how)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, given["fsdp_plugin"]


AcceleratorState.__init__ = begin_with_fsdp

loop = train.loop


def loop_and_tell(run, stop):
    parts = [p for p in run.policy.parameters() if p.requires_grad]
    share = sum(p.to_local().numel() for p in parts) / sum(p.numel() for p in parts)
    units = sum(isinstance(module, FSDPModule) for module in run.policy.modules())
    print(f"FSDP: {share:.2f} of the parameters are here, in {units} units", flush=True)
    loop(run, stop)


train.loop = loop_and_tell
train.main(sys.argv[1:])
