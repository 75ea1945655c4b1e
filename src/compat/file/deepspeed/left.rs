//! The fields that are of something else than an optimizer, as of 0.19.8 and in older files.

use super::super::section::Left;

pub(in super::super) const LEFT: &[Left] = &[
    (
        &["train_batch_size", "train_micro_batch_size_per_gpu", "dataloader_drop_last", "vocabulary_size"],
        "of how batches are made up",
    ),
    (
        &[
            "prescale_gradients",
            "gradient_predivide_factor",
            "gradient_allreduce_op",
            "communication_data_type",
            "seq_parallel_communication_data_type",
            "disable_allgather",
            "sparse_gradients",
            "comms_logger",
        ],
        "of how gradients are sent",
    ),
    (
        &[
            "zero_allow_untested_optimizer",
            "zero_force_ds_cpu_optimizer",
            "data_types",
            "aio",
            "use_node_local_storage",
        ],
        "of how state is divided and kept",
    ),
    (
        &[
            "steps_per_print",
            "wall_clock_breakdown",
            "memory_breakdown",
            "dump_state",
            "tensorboard",
            "wandb",
            "csv_monitor",
            "comet",
            "flops_profiler",
            "timers",
            "log_level",
            "autotuning",
        ],
        "of what is measured and printed",
    ),
    (&["checkpoint", "checkpoint_tag_validation", "nebula", "datastates_ckpt", "checkpointing"], "of checkpoints"),
    (
        &[
            "activation_checkpointing",
            "pipeline",
            "tensor_parallel",
            "expert_parallel",
            "sequence_parallel_size",
            "use_data_before_expert_parallelism",
            "hybrid_engine",
            "inference",
            "compile",
            "graph_harvesting",
            "sparse_attention",
            "progressive_layer_drop",
            "compression_training",
            "weight_quantization",
            "quantize_training",
            "eigenvalue",
            "disable_python_gc",
            "elasticity",
        ],
        "of the model and how it runs",
    ),
    (&["data_efficiency", "curriculum_learning"], "of what data is trained on"),
];
