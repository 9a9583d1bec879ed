//! Files without a name: nobody finds them, and nothing of them is left behind.

use std::fs::File;
use std::io;

/// A file without a name, and the same for those who may only read it.
#[cfg(target_os = "linux")]
pub(crate) fn unnamed() -> io::Result<(File, File)> {
    use nix::sys::memfd::{MFdFlags, memfd_create};

    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create(c"document", flags)?);
    let same = file.try_clone()?;
    Ok((file, same))
}

/// As above.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unnamed() -> io::Result<(File, File)> {
    let named = tempfile::NamedTempFile::new()?;
    let reading = File::open(named.path())?;
    Ok((named.into_file(), reading))
}

/// Nobody can write to the file from now on, whoever has it.
#[cfg(target_os = "linux")]
pub(crate) fn close_to_changes(file: &File) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};

    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

/// Those who may only read have another file, and this one has no name to open it by.
#[cfg(not(target_os = "linux"))]
pub(crate) fn close_to_changes(_file: &File) -> io::Result<()> {
    Ok(())
}
