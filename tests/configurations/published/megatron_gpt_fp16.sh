#!/bin/bash

# The 345M model in fp16.
CHECKPOINT_PATH=checkpoints/gpt2
GPT_ARGS="
    --num-layers 24 \
    --hidden-size 1024 \
    --num-attention-heads 16 \
    --seq-length 1024 \
    --max-position-embeddings 1024 \
    --micro-batch-size 4 \
    --global-batch-size 8 \
    --lr 0.00015 \
    --train-iters 500000 \
    --lr-decay-iters 320000 \
    --lr-decay-style cosine \
    --min-lr 1.0e-5 \
    --weight-decay 1e-2 \
    --lr-warmup-fraction .01 \
    --clip-grad 1.0 \
    --fp16 --initial-loss-scale 65536 --hysteresis 3
"
python pretrain_gpt.py $GPT_ARGS --save $CHECKPOINT_PATH
