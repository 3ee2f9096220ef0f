//! Deleting objects.
//!
//! The methods of [`Storage`] that delete objects. Invariant: deleting a missing object succeeds on every
//! backend, because the result is the one that the caller needs.

use std::{collections::HashSet, sync::Arc};

use futures::{StreamExt, stream};
use object_store::{Error as StoreError, path::Path};

use crate::{
    error::{Error, ErrorKind, Operation, Result, io_kind_within},
    storage::Storage,
};

/// The number of keys in one call to the backend, which is the limit of one request to S3.
const DELETE_BATCH: usize = 1000;

/// The number of concurrent batches.
const DELETE_CONCURRENCY: usize = 4;

impl Storage {
    /// Deletes an object. Succeeds if there is none.
    ///
    /// # Errors
    ///
    /// Only the errors that any method may return.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self.delete_all(vec![key.to_owned()]).await.pop() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Deletes many objects at the same time. Returns the keys that could not be deleted, with their errors.
    ///
    /// Tries every key, even if others fail. Missing objects are no error.
    pub async fn delete_all(&self, keys: Vec<String>) -> Vec<(String, Error)> {
        let mut failed = Vec::new();
        let mut paths = Vec::with_capacity(keys.len());
        for key in keys {
            match self.path(Operation::Delete, &key) {
                Ok(path) => paths.push(path),
                Err(error) => failed.push((key, error)),
            }
        }
        failed.extend(self.delete_at(paths).await);
        failed
    }

    /// [`Storage::delete_all`] for any paths.
    pub(crate) async fn delete_at(&self, paths: Vec<Path>) -> Vec<(String, Error)> {
        let mut failed = Vec::new();
        let batches: Vec<_> = paths.chunks(DELETE_BATCH).map(<[Path]>::to_vec).collect();
        let mut results = stream::iter(batches)
            .map(|batch| self.delete_batch(batch))
            .buffer_unordered(DELETE_CONCURRENCY);
        while let Some(more) = results.next().await {
            failed.extend(more);
        }
        failed
    }

    /// Deletes the keys of one request. Repeats keys without a response, because deleting twice does no harm.
    async fn delete_batch(&self, mut paths: Vec<Path>) -> Vec<(String, Error)> {
        let mut retry_policy = self.retry_policy();
        loop {
            let request = stream::iter(paths.clone()).map(Ok).boxed();
            let answers: Vec<_> = self.store().delete_stream(request).collect().await;
            let mut failed = Vec::new();
            for (path, error) in failures(paths, answers) {
                let error = self.store_error(Operation::Delete, path.as_ref(), &error);
                failed.push((path, error));
            }
            let unanswered = failed
                .iter()
                .find(|(_, error)| error.kind() == ErrorKind::Unavailable);
            let again = match unanswered {
                Some((_, error)) => retry_policy.allows(error).await,
                None => false,
            };
            if !again {
                return failed
                    .into_iter()
                    .map(|(path, error)| (path.into(), error))
                    .collect();
            }
            paths = failed.into_iter().map(|(path, _)| path).collect();
        }
    }
}

/// Matches the results of a backend with the requested keys, and returns the failures.
///
/// The results come in the order of the keys, except that one error may cover a request for many keys. Then
/// all keys that are not known to be deleted count as failed.
fn failures(
    paths: Vec<Path>,
    answers: Vec<object_store::Result<Path>>,
) -> Vec<(Path, Arc<StoreError>)> {
    if answers.len() == paths.len() {
        return paths
            .into_iter()
            .zip(answers)
            .filter_map(|(path, answer)| {
                let error = answer.err().filter(|error| !means_absent(error))?;
                Some((path, Arc::new(error)))
            })
            .collect();
    }
    let mut deleted = HashSet::new();
    let mut reason = None;
    for answer in answers {
        match answer {
            Ok(path) => {
                deleted.insert(path);
            }
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    let reason = Arc::new(reason.unwrap_or_else(|| StoreError::Generic {
        store: "unknown",
        source: "the backend did not report the result for the object".into(),
    }));
    paths
        .into_iter()
        .filter(|path| !deleted.contains(path))
        .map(|path| (path, Arc::clone(&reason)))
        .collect()
}

/// Returns whether a delete failed because the object is missing or the key names a folder.
fn means_absent(error: &StoreError) -> bool {
    use std::io::ErrorKind as K;
    matches!(error, StoreError::NotFound { .. })
        || matches!(
            io_kind_within(error),
            Some(K::NotADirectory | K::IsADirectory)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<Path> {
        names.iter().copied().map(Path::from).collect()
    }

    fn failed(kind: std::io::ErrorKind) -> object_store::Result<Path> {
        let source = Box::new(std::io::Error::from(kind));
        Err(StoreError::Generic {
            store: "test",
            source,
        })
    }

    fn names(failures: &[(Path, Arc<StoreError>)]) -> Vec<&str> {
        failures.iter().map(|(path, _)| path.as_ref()).collect()
    }

    #[test]
    fn answers_belong_to_the_keys_in_order() {
        let source = "deleted".into();
        let missing = StoreError::NotFound {
            path: "c".into(),
            source,
        };
        let denied = failed(std::io::ErrorKind::PermissionDenied);
        let answers = vec![Ok("a".into()), denied, Err(missing)];
        assert_eq!(names(&failures(paths(&["a", "b", "c"]), answers)), ["b"]);
    }

    #[test]
    fn error_for_many_keys_fails_all_that_are_not_known_to_be_deleted() {
        let timeout = failed(std::io::ErrorKind::TimedOut);
        let left = failures(paths(&["a", "b", "c"]), vec![timeout, Ok("b".into())]);
        assert_eq!(names(&left), ["a", "c"]);
        let left = failures(paths(&["a", "b"]), vec![Ok("a".into())]);
        assert_eq!(
            names(&left),
            ["b"],
            "a missing answer does not count as success"
        );
    }
}
