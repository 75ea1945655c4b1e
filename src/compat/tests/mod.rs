//! Tests of more than one of the libraries here.

mod hostile;
