//! candle trains a network on handwritten digits, with instep's step in place of candle's AdamW. The adapter is [`step`], one
//! file to copy into a program of one's own; [`digits`] and [`network`] are what it is shown on. Start at [`step::Step`].

pub mod digits;
pub mod network;
pub mod step;
