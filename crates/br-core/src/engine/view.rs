//! A repository as it is at one moment: what operations that read start from.

use std::sync::Arc;

use crate::error::Result;
use crate::progress::Event;
use crate::repository::{ChunkReader, Index, Io, LogPosition};

/// The log and the index, read once.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) position: LogPosition,
    pub(crate) reader: Arc<ChunkReader>,
}

impl View {
    pub(crate) fn open(io: &Io) -> Result<Self> {
        let mut position = LogPosition::read(io)?;
        let index = Index::read_newest(io, &mut position)?;
        for (id, reason) in &index.damaged {
            let message =
                format!("index segment {id} cannot be read and was rebuilt in memory: {reason}");
            io.context
                .progress
                .event(Event::Warning { message: &message });
        }
        let reader = Arc::new(ChunkReader::new(io, Arc::new(index)));
        Ok(Self { position, reader })
    }
}
