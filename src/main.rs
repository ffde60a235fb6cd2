//! The binary: hands the command line over.

fn main() -> std::process::ExitCode {
    orbsd::cli::run()
}
