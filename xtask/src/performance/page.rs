//! The page itself: what was measured where, and the tables and plots in their order.

use super::results::Results;
use super::tables::{bars, peers, plain, steps, table};
use super::{forms, plots};

/// `name`: the results' file, as the page links to it.
pub fn text(results: &Results, name: &str) -> String {
    let table_of_all = name.replace(".json", ".md");
    format!(
        "# Performance

`cargo xtask performance` makes this page and its plots from [{name}]({name}); all rows, with what was not measured and
why, are in [{table_of_all}]({table_of_all}).

{where_and_when}
Times are medians per step on the device, by events; ± is half of the distance from the 10th to the 90th percentile. A
*one-step graph* is replayed once a step, *32 steps in a graph* once in 32. The *best copy* is the fastest of several in the
same run: `cuMemcpyDtoD`, a strided loop, a block a tile.

## Bars

{bars}
## Beside PyTorch

`torch.optim` with `fused=True`: eager with `LambdaLR`, or captured with the rate a tensor that is filled before each replay;
`clip_grad_norm_` and `GradScaler` where the row says so. The ratio is PyTorch's time over ours.

{peers}
![How many times as long PyTorch's fused step takes, row by row]({ratios})

## Precisions

AdamW with its parameters, gradients and states kept as each row says: parameters and gradients in f32 or bf16, states in f32
where nothing is said of them, and in bf16 where everything is. PyTorch's is `fused=True` with all tensors in bf16, rounded to
nearest; rows that round stochastically are compared with it too. The shapes are those of GPT-2, {gpt2_size}:

{gpt2}
And those of Llama-3 8B, with as many of its 32 layers as the memory of the device holds beside the embeddings:

{llama}
## Plots

![Microseconds of a step against the number of tensors, for tensors of 64 elements]({tensors})

![Gigabytes per second against the number of parameters]({sizes})

## Copies

{copies}
## Steps

The schedule's cost is the difference to the same kernel with its rate a literal, with 32 steps in a graph where there are
such rows, else in one-step graphs. GB/s and % of copy are those of one-step graphs.
{steps}
## The parts of a closed loop

{closed}
## Builds

{builds}",
        where_and_when = where_and_when(results),
        bars = bars(results),
        peers = peers(results),
        ratios = plots::RATIOS,
        gpt2_size = forms::GPT2,
        gpt2 = forms::gpt2(results),
        llama = forms::llama(results),
        tensors = plots::TENSORS,
        sizes = plots::SIZES,
        copies = plain(results, "copy"),
        steps = steps(results),
        closed = plain(results, "AdamW, closed loop"),
        builds = plain(results, "build"),
    )
}

/// Card, driver, versions, date, revision and command of both parts.
fn where_and_when(results: &Results) -> String {
    let keys = ["GPU", "driver", "NVRTC", "torch", "optax", "date", "revision", "command", "renamed"];
    let rows = keys.into_iter().filter_map(|key| {
        let cell = |part: &str| match (results.head(part, key), key) {
            (None, "command") => format!("run.sh {part}"),
            (found, _) => found.unwrap_or_default().to_owned(),
        };
        let cells = [cell("bench"), cell("peers")];
        cells.iter().any(|cell| !cell.is_empty()).then(|| [&[key.to_owned()], &cells[..]].concat())
    });
    table(&["", "our rows", "the peers' rows"], rows)
}
