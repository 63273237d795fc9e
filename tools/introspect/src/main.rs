//! `introspect LIBRARY MODULE DIRECTORY`: the type stubs of an extension that is built already.
//!
//! `PyO3` puts what it knows of classes and signatures into the library's own symbols, so the library must not be
//! stripped. `maturin generate-stubs` reads the same, but only from a library that it has built itself.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use pyo3_introspection::{introspect_cdylib, module_stub_files};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [library, module, directory] = arguments.as_slice() else {
        eprintln!("usage: introspect LIBRARY MODULE DIRECTORY");
        return ExitCode::from(2);
    };
    match write(library, module, Path::new(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the stubs of `{module}` cannot be made from {library}: {error}");
            eprintln!(
                "hint: it must be built by PyO3 with `experimental-inspect` and not be stripped"
            );
            ExitCode::FAILURE
        }
    }
}

fn write(library: &str, module: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut module = introspect_cdylib(library, module)?;
    // It says so because the module runs code when it is loaded; that only puts quicker methods in the place of
    // those described here (`rust/py/src/fast.rs`), and `stubtest` would see whatever else it did.
    module.incomplete = false;
    for (path, stub) in module_stub_files(&module) {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, stub)?;
    }
    Ok(())
}
