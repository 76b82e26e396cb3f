//! A file to which records are appended, each durable before its writer goes on: the least that a
//! promise can cost. Whoever waits at the same time shares one sync.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use tokio::sync::oneshot;

/// The handle.
#[derive(Clone)]
pub struct Journal(mpsc::Sender<(Vec<u8>, oneshot::Sender<()>)>);

impl Journal {
    /// Opens the file, with a thread that writes it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut file = File::options().create(true).append(true).open(path)?;
        let (records, incoming) = mpsc::channel::<(Vec<u8>, oneshot::Sender<()>)>();
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            let mut bytes = Vec::new();
            let mut waiting = Vec::new();
            while let Ok(first) = incoming.recv() {
                for (record, written) in std::iter::once(first).chain(incoming.try_iter()) {
                    bytes.extend_from_slice(&record);
                    waiting.push(written);
                }
                if file.write_all(&bytes).and_then(|()| file.sync_data()).is_err() {
                    return;
                }
                bytes.clear();
                for written in waiting.drain(..) {
                    // Whoever waited may be gone.
                    let _ = written.send(());
                }
            }
        })?;
        Ok(Self(records))
    }

    /// Returns when the record is on disk.
    pub async fn write(&self, record: Vec<u8>) -> anyhow::Result<()> {
        let (written, is_written) = oneshot::channel();
        self.0.send((record, written)).map_err(|_| anyhow::anyhow!("the journal is gone"))?;
        Ok(is_written.await?)
    }
}
