//! The tests of `synod-bench`: histories good and planted, and, with the command line, load and drill against small servers
//! that live in the test.

mod checkers;
mod generate;
mod histories;
