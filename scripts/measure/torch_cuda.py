"""PyTorch's side of a comparison on a GPU: convolution passes and training steps in CUDA graphs, timed
with events. Needs torch with CUDA."""
import os
import statistics
import sys

import torch

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from torch_twins import MODELS  # noqa: E402

LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
ROUND_MS = 2.0  # of one graph launch: long beside the launch itself
MOST_CALLS = 1000


def set_precision(mode):
    """fp32 is strict: no TF32. cuDNN searches for its fastest algorithm."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = mode != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = mode != "fp32"


def milliseconds(launch):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    launch()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


class Timed:
    """A call recorded as a CUDA graph that repeats it for milliseconds."""

    def __init__(self, call, warm_up=3):
        self.call = call  # keeps the tensors, of which the graph knows only the addresses
        side = torch.cuda.Stream()  # what a capture needs: the call's first runs on another stream
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(warm_up):
                call()
        torch.cuda.current_stream().wait_stream(side)
        self.calls = 1
        self.record(call)
        once = min(milliseconds(self.graph.replay) for _ in range(3))
        self.calls = max(1, min(MOST_CALLS, int(ROUND_MS / once)))
        self.record(call)
        self.graph.replay()
        torch.cuda.synchronize()

    def record(self, call):
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            for _ in range(self.calls):
                call()

    def microseconds(self, launches=5):
        """Median of one call's time."""
        return 1e3 / self.calls * statistics.median(
            milliseconds(self.graph.replay) for _ in range(launches))


class TimedEager:
    """A call queued anew each time, for some milliseconds between two looks at the clock."""

    def __init__(self, call):
        self.call = call
        once = min(milliseconds(call) for _ in range(5))
        self.calls = max(1, int(10 * ROUND_MS / once))

    def microseconds(self, launches=5):
        def run():
            for _ in range(self.calls):
                self.call()
        return 1e3 / self.calls * statistics.median(milliseconds(run) for _ in range(launches))


def first_that_work(candidates):
    """name -> Timed, without those that PyTorch cannot run, which are printed."""
    timed = {}
    for name, make in candidates.items():
        try:
            timed[name] = make()
        except RuntimeError as error:
            torch.cuda.synchronize()
            print(f"PyTorch, {name}: {str(error).splitlines()[0]}")
    if not timed:
        raise RuntimeError("PyTorch ran in no memory format")
    return timed


def conv_passes(shape, passes, mode="fp32"):
    """pass -> {layout: Timed} for shape = (N, IH, IW, IC, OC, filter, stride, padding); in bf16 all
    tensors are bfloat16."""
    dtype = torch.bfloat16 if mode == "bf16" else torch.float32
    n, ih, iw, ic, oc, k, s, p = shape
    oh, ow = (ih + 2 * p - k) // s + 1, (iw + 2 * p - k) // s + 1

    def body(name, layout):
        def random(*sizes):
            return torch.randn(*sizes, device="cuda", dtype=dtype).contiguous(
                memory_format=LAYOUTS[layout])

        x, w, dy = random(n, ic, ih, iw), random(oc, ic, k, k), random(n, oc, oh, ow)
        if name == "forward":
            return lambda: torch.ops.aten.convolution(
                x, w, None, [s, s], [p, p], [1, 1], False, [0, 0], 1)
        wanted = [name == "backward_data", name == "backward_filter", False]
        return lambda: torch.ops.aten.convolution_backward(
            dy, x, w, None, [s, s], [p, p], [1, 1], False, [0, 0], 1, wanted)

    return {name: first_that_work({layout: lambda name=name, layout=layout: Timed(body(name, layout))
                                   for layout in LAYOUTS}) for name in passes}


def training_step(model, batch, layout, compiled=False, mode="fp32"):
    """One step of a model with Adam, data on the GPU; bf16 is PyTorch's autocast."""
    torch.manual_seed(0)
    net = MODELS[model]().cuda().to(memory_format=LAYOUTS[layout]).train()
    height, width, channels = net.image
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True, capturable=True)
    x = torch.randn(batch, channels, height, width, device="cuda")
    x = x.contiguous(memory_format=LAYOUTS[layout])
    y = torch.randint(0, 10, (batch,), device="cuda")
    run = torch.compile(net) if compiled else net

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=mode == "bf16"):
            loss = torch.nn.functional.cross_entropy(run(x), y)
        loss.backward()
        optimizer.step()

    return step


def training_steps(model, batch, compiled, mode="fp32"):
    """(eager, graph): {name: timed} each; compiled adds torch.compile, channels last, to the graphs.
    peak_mib is the memory that its tensors had at most, while they ran for the first time."""
    def with_peak(make):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        timed = make()
        timed.peak_mib = (torch.cuda.max_memory_allocated() - before) / 2**20
        return timed

    def candidates(timed, names):
        return first_that_work({name: lambda layout=layout, fused=fused: with_peak(
            lambda: timed(training_step(model, batch, layout, fused, mode)))
            for name, (layout, fused) in names.items()})

    plain = {layout: (layout, False) for layout in LAYOUTS}
    with_compiled = {**plain, "compiled": ("nhwc", True)} if compiled else plain
    return (candidates(TimedEager, plain),
            candidates(lambda step: Timed(step, warm_up=5), with_compiled))
