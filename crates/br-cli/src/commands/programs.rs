//! Looks for programs.

use std::path::PathBuf;

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// Where a program is: a path, or a name in a folder of PATH. `None` if it is not there, or this user may not start it.
pub(super) fn find_program(program: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        path.is_file() && accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(is_program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&path).map(|folder| folder.join(program));
    paths.find(is_program)
}
