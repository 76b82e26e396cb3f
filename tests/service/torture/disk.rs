//! A disk that is full at will: a small file system in memory, made smaller than what is on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Its size, while there is room.
const SIZE: &str = "4g";
/// Blocks of 4 KiB that are left free on a full disk at most: a group of changes may begin to fit.
pub const LEFT_FREE: usize = 40;

/// A file system of its own, mounted on an empty folder.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// None where mounting is not allowed: it takes root.
    pub fn mounted(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).expect("a folder for the disk");
        let size = format!("size={SIZE},mode=700");
        let mount = ["-t", "tmpfs", "-o", &size, "ticketgate-torture"];
        if !quietly(Command::new("mount").args(mount).arg(at)) {
            return None;
        }
        let disk = Self { at: at.to_owned() };
        disk.end_with_this_process();
        Some(disk)
    }

    /// From now on almost nothing fits on it. False if something was written just then.
    pub fn fill(&self, left_free: usize) -> bool {
        self.used_blocks().is_some_and(|used| {
            let blocks = used + left_free;
            self.resize(&format!("nr_blocks={blocks}"))
        })
    }

    /// There is room again.
    pub fn release(&self) {
        assert!(self.resize(&format!("size={SIZE}")), "the disk cannot be made larger again");
    }

    fn resize(&self, option: &str) -> bool {
        let option = format!("remount,{option}");
        quietly(Command::new("mount").args(["-o", &option]).arg(&self.at))
    }

    fn used_blocks(&self) -> Option<usize> {
        let told = Command::new("df").args(["--output=used", "-B4096"]).arg(&self.at).output();
        let text = String::from_utf8(told.ok()?.stdout).ok()?;
        text.lines().nth(1)?.trim().parse().ok()
    }

    /// A shell that waits for the end of its input, which comes when this process is gone.
    fn end_with_this_process(&self) {
        let mut guard = Command::new("sh");
        guard.args(["-c", "cat; umount -l -- \"$0\" 2>&1"]).arg(&self.at).stdin(Stdio::piped());
        guard.stdout(Stdio::null()).stderr(Stdio::null());
        // Never dropped: its end of the pipe is closed by the kernel.
        std::mem::forget(guard.spawn().expect("sh starts").stdin);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What is in memory would be gone with the mount; it is what the fault left behind.
            let kept = self.at.with_extension("kept");
            quietly(Command::new("cp").arg("-a").arg(&self.at).arg(kept));
        }
        quietly(Command::new("umount").arg("-l").arg(&self.at));
    }
}

fn quietly(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
