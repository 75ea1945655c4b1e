"""What other libraries need for the same step, on the bench's own models. Prints one JSON row a line, as it comes.

usage: peers.py torch|optax SECONDS quick|all

A row is named as the bench's own of the same step, with the library's name before it: "torch fused AdamW, eager". One that
cannot be measured says why and has no number. Times are nanoseconds per step: on the device by events (torch), or from the
first call to the last result of a burst (optax, where nothing else is to be had); on the host until all is enqueued.
"""

import gc
import itertools
import json
import math
import os
import signal
import sys
import time

# "AdamW in bf16" has parameters, gradients and states in bf16, rounded to nearest.
BYTES_PER_PARAM = {"SGD": 12, "SGD with momentum": 20, "AdamW": 28, "AdamW in bf16": 14}
BYTES_HELD = {"SGD": 8, "SGD with momentum": 12, "AdamW": 16, "AdamW in bf16": 8}
WEIGHT_DECAY, BETAS, EPS, MOMENTUM = 0.1, (0.9, 0.999), 1e-8, 0.9
COPY_BYTES = 1 << 30
# A row takes a third of a second.
ROW_SECONDS, WARM_UP_SECONDS, BURST_SECONDS = 0.33, 0.04, 0.005
MIN_STEPS, MAX_CALLS, MIN_SAMPLES, MAX_SAMPLES = 2, 256, 5, 50
UNROLLED = 32


def gpt2_small():
    """The lengths of benches/step/sizes.rs, in its order."""
    width = 768
    block = [
        *(width, width, width * 3 * width, 3 * width, width * width, width),
        *(width, width, width * 4 * width, 4 * width, 4 * width * width, width),
    ]
    return [50_257 * width, 1_024 * width, *(block * 12), width, width]


LLAMA, LLAMA_LAYERS = "Llama-3 8B, what fits", 32


def llama(layers):
    """The same of Llama-3 8B with so many of its layers."""
    width, keys, hidden, words = 4_096, 1_024, 14_336, 128_256
    layer = [width * width, keys * width, keys * width, width * width, *([hidden * width] * 3), width, width]
    return [words * width, *(layer * layers), width, words * width]


def layers_that_fit(rule, free):
    """As the bench takes them: a little is left to the driver."""
    first = sum(llama(0))
    return max(0, min((int(free * 0.95 / BYTES_HELD[rule]) - first) // (sum(llama(1)) - first), LLAMA_LAYERS))


SIZES = {
    "1 x 64": [64],
    "148 x 64": [64] * 148,
    "1000 x 1024": [1_024] * 1_000,
    "10000 x 64": [64] * 10_000,
    "1 x 1 Mi": [1 << 20],
    "148 tensors, 124 M": gpt2_small(),
    "1 x 1 B": [1_000_000_000],
}
ALL, SOME, GPT2 = tuple(SIZES), ("1 x 64", "148 tensors, 124 M"), ("148 tensors, 124 M",)
TINY = 1 << 21  # larger steps are not put into a graph many times

EAGER, GRAPH, MANY = "eager", "one-step graph", f"{UNROLLED} steps in a graph"
CLIP, SCALE = "clip by norm", "clip by norm and dynamic loss scale"

# PyTorch's fused step: rule, what is asked for beside it, sizes, modes. A later precision or rule is a line.
FUSED = [
    ("AdamW", "", ALL, (EAGER, GRAPH, MANY)),
    ("SGD with momentum", "", SOME, (EAGER, GRAPH, MANY)),
    ("AdamW", CLIP, ALL, (EAGER, GRAPH, MANY)),
    ("AdamW", SCALE, ALL, (EAGER,)),
    ("AdamW in bf16", "", GPT2, (EAGER, GRAPH)),
]
NOTES = {
    EAGER: "LambdaLR",
    GRAPH: "the rate is filled before each replay",
    MANY: "one rate for all 32 steps, the least that can be asked of it",
}

# For a longer visit: other ways of PyTorch, and optax. Label, rule, sizes.
LONGER = {
    "torch": [
        ("torch fused AdamW, float rate set, eager", "AdamW", ALL),
        ("torch fused AdamW, tensor rate filled, eager", "AdamW", ALL),
        ("torch foreach AdamW, capturable, tensor rate filled, eager", "AdamW", ALL),
        ("torch fused SGD, one-step graph", "SGD", SOME),
        ("torch compiled AdamW, tensor rate filled", "AdamW", GPT2),
        (f"torch fused AdamW in bf16, {GRAPH}", "AdamW in bf16", (LLAMA,)),
    ],
    # XLA compiles a program for every list of tensors, and needs minutes for thousands of them.
    "optax": [
        (f"optax {rule}, jitted with its schedule", rule, [name for name in ALL if len(SIZES[name]) < 1_000])
        for rule in ("SGD", "AdamW")
    ],
}


def rows(peer, visit):
    """All rows of a peer as dicts: name, rule, options, mode (None: by name), size, note."""
    if peer == "torch":
        for rule, options, sizes, modes in FUSED:
            for size, mode in itertools.product(sizes, modes):
                if mode != MANY or sum(SIZES[size]) <= TINY:
                    name = ", ".join(filter(None, (f"torch fused {rule}", options, mode)))
                    yield dict(name=name, rule=rule, options=options, mode=mode, size=size, note=NOTES[mode])
    if visit == "all":
        for name, rule, sizes in LONGER[peer]:
            for size in sizes:
                yield dict(name=name, rule=rule, options="", mode=None, size=size, note="")


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


def none_measured(peer, visit, why):
    for row in rows(peer, visit):
        not_measured(row["name"], row["size"], why)


def spread(samples):
    samples = sorted(samples)

    def at(share):
        return samples[round(share * (len(samples) - 1))] * 1e9

    return {"median": at(0.5), "p10": at(0.1), "p90": at(0.9), "samples": len(samples)}


def measure(burst, steps=1):
    """Spreads of device and host time per step. `burst(calls)` returns both, in seconds per call of so many steps."""
    start, least = time.perf_counter(), -(-MIN_STEPS // steps)
    calls = least
    burst(calls)
    while True:
        call = max(burst(calls))
        if time.perf_counter() - start >= WARM_UP_SECONDS:
            break
        calls = min(2 * calls, MAX_CALLS)
    calls = int(min(max(BURST_SECONDS / call, least), MAX_CALLS))
    device, host = [], []
    while len(device) < MIN_SAMPLES or (len(device) < MAX_SAMPLES and time.perf_counter() - start < ROW_SECONDS):
        sample = burst(calls)
        device.append(sample[0] / steps)
        host.append(sample[1] / steps)
    return spread(device), spread(host)


def report(name, size, times, moved, copy, note=""):
    """Emits a row; `copy` is the copy bandwidth of this run in GB/s, None for the copy itself. Returns GB/s."""
    device, host = times
    bandwidth = moved / device["median"]
    row = {"row": name, "size": size, "time_ns": device, "host_ns": host, "gb_per_s": bandwidth, "note": note}
    emit({**row, "copy_gb_per_s": copy or bandwidth})
    return bandwidth


class Overdue(Exception):
    """A row took longer than it may."""


def overdue(_signal, _frame):
    raise Overdue("it took too long")


def run_rows(peer, visit, end, room, copy, prepare):
    """Measures all rows. `prepare(row, lengths)` returns a burst and the steps of one of its calls."""
    for row in rows(peer, visit):
        name, size, note = row["name"], row["size"], row["note"]
        left = int(end - time.monotonic())
        if size == LLAMA:
            # One at least, which then is too much.
            layers = max(1, layers_that_fit(row["rule"], room))
            lengths = llama(layers)
            note = f"{layers} of {LLAMA_LAYERS} layers, {sum(lengths) / 1e9:.2f} B parameters"
            needed = BYTES_HELD[row["rule"]] * sum(lengths)
        else:
            lengths = SIZES[size]
            # Half as much again for what a library allocates on its way.
            needed = 3 * sum(lengths) * BYTES_HELD[row["rule"]] // 2
        if left < 1 or needed > room:
            short = f"may need {needed >> 30} GiB, {room >> 30} are free"
            not_measured(name, size, "the time is over" if left < 1 else short)
            continue
        # A compiler that does not come to an end must not take the other rows with it.
        longest = 8 if visit == "quick" else 120 if "compiled" in name or peer == "optax" else 30
        signal.alarm(min(longest, left))
        try:
            burst, steps = prepare(row, lengths)
            norm = 4 if row["options"] else 0
            moved = (BYTES_PER_PARAM[row["rule"]] + norm) * sum(lengths)
            report(name, size, measure(burst, steps), moved, copy, note)
        except Exception as problem:  # whatever stops one row must not stop the next
            not_measured(name, size, f"{type(problem).__name__}: {problem}")
        finally:
            signal.alarm(0)
        burst = None
        gc.collect()


def run_torch(visit, end):
    import torch

    if not torch.cuda.is_available():
        return none_measured("torch", visit, "torch finds no GPU")
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

    def tensors(rule, lengths):
        """Parameters with gradients, each on a boundary of 64 elements, as the bench lays them."""
        places = [-(-n // 64) * 64 for n in lengths]
        dtype = torch.bfloat16 if rule == "AdamW in bf16" else torch.float32
        both = [torch.randn(sum(places), device="cuda", dtype=dtype).split(places) for _ in range(2)]
        params, grads = ([whole[:n] for whole, n in zip(all_of, lengths)] for all_of in both)
        for param, grad in zip(params, grads):
            param.grad = grad
        return params

    def optimizer(rule, params, lr, **options):
        if rule.startswith("AdamW"):
            return torch.optim.AdamW(params, lr=lr, betas=BETAS, eps=EPS, weight_decay=WEIGHT_DECAY, **options)
        momentum = MOMENTUM if rule == "SGD with momentum" else 0.0
        options.pop("capturable", None)  # SGD has no step counter to keep
        return torch.optim.SGD(params, lr=lr, momentum=momentum, **options)

    def clip(params):
        torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=True)

    def with_lambda_lr(row, params):
        opt = optimizer(row["rule"], params, 1.0, fused=True)
        scheduler = torch.optim.lr_scheduler.LambdaLR(opt, rate)
        if row["options"] == SCALE:
            # Gradients are fixed: a scale that stays 1 leaves them as they are, at the same cost.
            scaler = torch.amp.GradScaler("cuda", init_scale=1.0, growth_interval=1 << 30)
            scaler.scale(torch.ones((), device="cuda"))

        def advance():
            if row["options"] == SCALE:
                scaler.unscale_(opt)
                clip(params)
                scaler.step(opt)
                scaler.update()
            else:
                if row["options"] == CLIP:
                    clip(params)
                opt.step()
            scheduler.step()

        return bursts(advance), 1

    def captured(step, steps):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(steps):
                step()
        return graph.replay

    def filled(opt_of, wrap, steps=1):
        """A step whose rate is a tensor that the host fills before each call."""
        lr, clock = torch.tensor(rate(0), device="cuda"), itertools.count(step=steps)
        step = wrap(opt_of(lr))

        def advance():
            lr.fill_(rate(next(clock)))
            step()

        return bursts(advance), steps

    def in_graph(row, params):
        steps = UNROLLED if row["mode"] == MANY else 1

        def wrap(opt):
            def step():
                if row["options"] == CLIP:
                    clip(params)
                opt.step()

            return captured(step, steps)

        return filled(lambda lr: optimizer(row["rule"], params, lr, fused=True, capturable=True), wrap, steps)

    def longer(row, params):
        name, rule = row["name"], row["rule"]
        if "float rate" in name:
            opt, clock = optimizer(rule, params, rate(0), fused=True), itertools.count()

            def advance():
                opt.param_groups[0]["lr"] = rate(next(clock))
                opt.step()

            return bursts(advance), 1
        wrap = lambda opt: opt.step
        options = {"fused": True, "capturable": True}
        if "foreach" in name:
            options = {"foreach": True, "capturable": True}
        elif "compiled" in name:
            options, wrap = {"capturable": True}, lambda opt: torch.compile(opt.step, fullgraph=False)
        elif "graph" in name:
            wrap = lambda opt: captured(opt.step, 1)
        return filled(lambda lr: optimizer(rule, params, lr, **options), wrap)

    def prepare(row, lengths):
        torch.cuda.empty_cache()
        ways = {EAGER: with_lambda_lr, GRAPH: in_graph, MANY: in_graph, None: longer}
        return ways[row["mode"]](row, tensors(row["rule"], lengths))

    free, _ = torch.cuda.mem_get_info()
    elements = min(COPY_BYTES, free // 4) // 4
    to, source = torch.empty(elements, device="cuda"), torch.randn(elements, device="cuda")
    times = measure(bursts(lambda: to.copy_(source)))
    copy = report("copy, torch copy_", f"2 x {elements >> 18} MiB", times, 8 * elements, None)
    del to, source
    torch.cuda.empty_cache()
    run_rows("torch", visit, end, torch.cuda.mem_get_info()[0], copy, prepare)


def run_optax(visit, end):
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import optax

    if jax.default_backend() != "gpu":
        return none_measured("optax", visit, "jax finds no GPU")
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

    def prepare(row, lengths):
        transform = rules[row["rule"]]

        def step(params, state, grads):
            updates, state = transform.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        keys = jax.random.split(jax.random.key(0), 2)
        params, grads = ([jax.random.normal(key, (n,)) for n in lengths] for key in keys)
        held = [params, transform.init(params)]
        program = jax.jit(step, donate_argnums=(0, 1))

        def advance():
            held[:] = program(*held, grads)
            return held

        return bursts(advance), 1

    add_one = jax.jit(lambda x: x + 1)
    source = jax.random.normal(jax.random.key(1), (COPY_BYTES // 4,))
    times = measure(bursts(lambda: add_one(source)))
    copy = report("copy, x + 1 under jit", f"2 x {COPY_BYTES >> 20} MiB", times, 2 * COPY_BYTES, None)
    del source
    stats = jax.local_devices()[0].memory_stats() or {}
    room = stats.get("bytes_limit", 8 << 30) - stats.get("bytes_in_use", 0)
    run_rows("optax", visit, end, room, copy, prepare)


PEERS = {"torch": run_torch, "optax": run_optax}


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in PEERS or sys.argv[3] not in ("quick", "all"):
        sys.exit(__doc__)
    peer, end, visit = sys.argv[1], time.monotonic() + int(sys.argv[2]), sys.argv[3]
    if os.environ.get("INSTEP_STANDIN"):
        return none_measured(peer, visit, "a dry run on the stand-in")
    signal.signal(signal.SIGALRM, overdue)
    try:
        PEERS[peer](visit, end)
    except ImportError as problem:
        none_measured(peer, visit, problem)


if __name__ == "__main__":
    main()
