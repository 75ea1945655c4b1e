"""What other libraries need for the same step, on the bench's own models. Prints one JSON row a line, as it comes.

usage: peers.py torch|optax SECONDS

A row that cannot be measured says why and has no number. Times are nanoseconds per step: on the device by events (torch),
or from the first call to the last result of a burst (optax, where nothing else is to be had); on the host until all is
enqueued.
"""

import gc
import itertools
import json
import math
import os
import signal
import sys
import time

BYTES_PER_PARAM = {"SGD": 12, "AdamW": 28}
WEIGHT_DECAY, BETAS, EPS = 0.1, (0.9, 0.999), 1e-8
COPY_BYTES = 1 << 30
BURST_SECONDS, MIN_CALLS, MAX_CALLS = 0.01, 4, 256
MIN_SAMPLES, MAX_SAMPLES, CASE_SECONDS = 5, 50, 2.0


def gpt2_small():
    """The lengths of benches/step/gpu.rs, in its order."""
    width = 768
    block = [
        *(width, width),
        *(width * 3 * width, 3 * width),
        *(width * width, width),
        *(width, width),
        *(width * 4 * width, 4 * width),
        *(4 * width * width, width),
    ]
    return [50_257 * width, 1_024 * width, *(block * 12), width, width]


SIZES = {
    "1 x 64": [64],
    "148 tensors, 124 M": gpt2_small(),
    "10000 x 64": [64] * 10_000,
    "1 x 1 Mi": [1 << 20],
    "1 x 100 M": [100_000_000],
    "1 x 1 B": [1_000_000_000],
}


def rate(step):
    """Warm-up and cosine, the bench's schedule."""
    if step < 200:
        return 3e-5 + (3e-4 - 3e-5) * step / 200
    remaining = 1 - min(step - 200, 1_800) / 1_800
    return 3e-5 + (3e-4 - 3e-5) * math.sin(0.5 * math.pi * remaining) ** 2


def emit(row):
    print(json.dumps(row), flush=True)


def not_measured(name, size, why):
    emit({"row": name, "size": size, "note": "not measured (" + " ".join(str(why).split())[:200] + ")"})


def spread(samples):
    samples = sorted(samples)

    def at(share):
        return samples[round(share * (len(samples) - 1))] * 1e9

    return {"median": at(0.5), "p10": at(0.1), "p90": at(0.9), "samples": len(samples)}


def measure(burst):
    """Spreads of device and host time. `burst(calls)` returns both, in seconds per call."""
    burst(MIN_CALLS)
    calls = int(min(max(BURST_SECONDS / max(burst(MIN_CALLS)), MIN_CALLS), MAX_CALLS))
    device, host, start = [], [], time.perf_counter()
    while len(device) < MIN_SAMPLES or (len(device) < MAX_SAMPLES and time.perf_counter() - start < CASE_SECONDS):
        sample = burst(calls)
        device.append(sample[0])
        host.append(sample[1])
    return spread(device), spread(host)


def report(name, size, times, moved, copy, note=""):
    """Emits a row; `copy` is the copy bandwidth of this run in GB/s, None for the copy itself. Returns GB/s."""
    device, host = times
    bandwidth = moved / device["median"]
    row = {"row": name, "size": size, "time_ns": device, "host_ns": host, "gb_per_s": bandwidth, "note": note}
    emit({**row, "copy_gb_per_s": copy or bandwidth})
    return bandwidth


class Overdue(Exception):
    """A case took longer than it may."""


def overdue(_signal, _frame):
    raise Overdue("it took too long")


def cases(ways, end, room):
    """Yields what is to be measured; says of the rest why it is not. `ways`: name, rule, sizes (None: all), seconds, run."""
    for size, (name, rule, sizes, seconds, run) in itertools.product(SIZES, ways):
        if sizes is not None and size not in sizes:
            continue
        left = int(end - time.monotonic())
        needed = 4 * sum(SIZES[size]) * {"SGD": 3, "AdamW": 6}[rule]
        if left < 2:
            not_measured(name, size, "the time is over")
        elif needed > room:
            not_measured(name, size, f"may need {needed >> 30} GiB, {room >> 30} are free")
        else:
            # A compiler that does not come to an end must not take the other rows with it.
            signal.alarm(max(1, min(seconds, left)))
            try:
                yield name, rule, size, run
            finally:
                signal.alarm(0)


def run_cases(ways, end, room, copy):
    for name, rule, size, run in cases(ways, end, room):
        moved = BYTES_PER_PARAM[rule] * sum(SIZES[size])
        try:
            report(name, size, measure(run(SIZES[size])), moved, copy)
        except Exception as problem:  # whatever stops one row must not stop the next
            not_measured(name, size, f"{type(problem).__name__}: {problem}")
        gc.collect()


def run_torch(end):
    import torch

    if not torch.cuda.is_available():
        return not_measured("torch, all ways", "all", "torch finds no GPU")
    emit({"head": {"torch": f"{torch.__version__}, CUDA {torch.version.cuda}"}})

    def bursts(advance):
        def burst(calls):
            begin, done = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            begin.record()
            start = time.perf_counter()
            for _ in range(calls):
                advance()
            host = time.perf_counter() - start
            done.record()
            torch.cuda.synchronize()
            return begin.elapsed_time(done) / 1e3 / calls, host / calls

        return burst

    def optimizer(rule, lengths, lr, **options):
        torch.cuda.empty_cache()
        params = [torch.randn(n, device="cuda") for n in lengths]
        for param in params:
            param.grad = torch.randn_like(param)
        if rule == "SGD":
            return torch.optim.SGD(params, lr=lr, **options)
        return torch.optim.AdamW(params, lr=lr, betas=BETAS, eps=EPS, weight_decay=WEIGHT_DECAY, **options)

    def float_rate(rule, **options):
        def run(lengths):
            opt, steps = optimizer(rule, lengths, rate(0), **options), itertools.count()

            def advance():
                opt.param_groups[0]["lr"] = rate(next(steps))
                opt.step()

            return bursts(advance)

        return run

    def tensor_rate(rule, wrap=lambda opt: opt.step, **options):
        def run(lengths):
            lr = torch.tensor(rate(0), device="cuda")
            opt, steps = optimizer(rule, lengths, lr, **options), itertools.count()
            step = wrap(opt)

            def advance():
                lr.fill_(rate(next(steps)))
                step()

            return bursts(advance)

        return run

    def captured(opt):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                opt.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            opt.step()
        return graph.replay

    def compiled(opt):
        return torch.compile(opt.step, fullgraph=False)

    fused, capturable = {"fused": True}, {"fused": True, "capturable": True}
    compile_sizes = ("148 tensors, 124 M", "1 x 100 M")
    foreach = {"foreach": True, "capturable": True}

    def adamw(way, run, sizes=None, seconds=30):
        return (f"torch AdamW, {way}", "AdamW", sizes, seconds, run)

    ways = [
        adamw("fused, float lr, eager", float_rate("AdamW", **fused)),
        adamw("fused, tensor lr filled, eager", tensor_rate("AdamW", **capturable)),
        adamw("fused, lr filled outside the graph", tensor_rate("AdamW", captured, **capturable)),
        adamw("foreach capturable, lr filled", tensor_rate("AdamW", **foreach)),
        ("torch SGD, fused, float lr, eager", "SGD", None, 30, float_rate("SGD", **fused)),
        ("torch SGD, fused, lr filled outside the graph", "SGD", None, 30, tensor_rate("SGD", captured, **fused)),
        adamw("compiled, lr filled", tensor_rate("AdamW", compiled, capturable=True), compile_sizes, 120),
    ]
    free, _ = torch.cuda.mem_get_info()
    elements = min(COPY_BYTES, free // 4) // 4
    to, source = torch.empty(elements, device="cuda"), torch.randn(elements, device="cuda")
    times = measure(bursts(lambda: to.copy_(source)))
    copy = report("copy, torch copy_", f"2 x {elements >> 18} MiB", times, 8 * elements, None)
    del to, source
    torch.cuda.empty_cache()
    run_cases(ways, end, torch.cuda.mem_get_info()[0], copy)


def run_optax(end):
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import jax.numpy as jnp
    import optax

    if jax.default_backend() != "gpu":
        return not_measured("optax, all ways", "all", "jax finds no GPU")
    emit({"head": {"optax": f"{optax.__version__}, jax {jax.__version__}"}})

    def bursts(advance):
        def burst(calls):
            start = time.perf_counter()
            for _ in range(calls):
                result = advance()
            host = time.perf_counter() - start
            jax.block_until_ready(result)
            return (time.perf_counter() - start) / calls, host / calls

        return burst

    schedule = optax.join_schedules(
        [optax.linear_schedule(3e-5, 3e-4, 200), optax.cosine_decay_schedule(3e-4, 1_800, alpha=0.1)], [200]
    )
    rules = {
        "SGD": optax.sgd(schedule),
        "AdamW": optax.adamw(schedule, b1=BETAS[0], b2=BETAS[1], eps=EPS, weight_decay=WEIGHT_DECAY),
    }

    def jitted(rule):
        transform = rules[rule]

        def step(params, state, grads):
            updates, state = transform.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        def run(lengths):
            keys = jax.random.split(jax.random.key(0), 2)
            params, grads = ([jax.random.normal(key, (n,)) for n in lengths] for key in keys)
            held = [params, transform.init(params)]
            program = jax.jit(step, donate_argnums=(0, 1))

            def advance():
                held[:] = program(*held, grads)
                return held

            return bursts(advance)

        return run

    # XLA compiles a program for every list of tensors, and needs minutes for 10,000 of them.
    sizes = [size for size, lengths in SIZES.items() if len(lengths) <= 1_000]
    not_measured("optax, all rules, jitted", "10000 x 64", "compiling the step takes minutes")
    ways = [(f"optax {rule}, jitted with its schedule", rule, sizes, 60, jitted(rule)) for rule in rules]
    add_one = jax.jit(lambda x: x + 1)
    source = jax.random.normal(jax.random.key(1), (COPY_BYTES // 4,))
    times = measure(bursts(lambda: add_one(source)))
    copy = report("copy, x + 1 under jit", f"2 x {COPY_BYTES >> 20} MiB", times, 2 * COPY_BYTES, None)
    del source
    stats = jax.local_devices()[0].memory_stats() or {}
    run_cases(ways, end, stats.get("bytes_limit", 8 << 30) - stats.get("bytes_in_use", 0), copy)


PEERS = {"torch": run_torch, "optax": run_optax}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in PEERS:
        sys.exit(__doc__)
    peer, end = sys.argv[1], time.monotonic() + int(sys.argv[2])
    if os.environ.get("INSTEP_STANDIN"):
        return not_measured(f"{peer}, all ways", "all", "a dry run on the stand-in")
    signal.signal(signal.SIGALRM, overdue)
    try:
        PEERS[peer](end)
    except ImportError as problem:
        not_measured(f"{peer}, all ways", "all", problem)


if __name__ == "__main__":
    main()
