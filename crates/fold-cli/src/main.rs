//! The binary `fold`.

fn main() -> std::process::ExitCode {
    fold_cli::main(std::env::args_os())
}
