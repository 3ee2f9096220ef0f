//! Objects in a bucket of Google Cloud Storage.
//!
//! [`open`] makes a store of `object_store` from a location and options. Invariant: the credentials and the
//! server come from the environment only.

use object_store::{
    ClientOptions,
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};

use super::{Backend, cloud, remote::Server};
use crate::{
    error::Result,
    location::{BucketLocation, Location},
    options::StorageOptions,
};

/// Says how to give credentials.
const ADVICE: &str = "name the key file of a service account in GOOGLE_APPLICATION_CREDENTIALS, or \
                      run `gcloud auth application-default login`";

/// Opens a bucket. Sends no request.
pub(crate) fn open(location: &BucketLocation, options: &StorageOptions) -> Result<Backend> {
    open_with(GoogleCloudStorageBuilder::from_env(), location, options)
}

fn open_with(
    builder: GoogleCloudStorageBuilder,
    location: &BucketLocation,
    options: &StorageOptions,
) -> Result<Backend> {
    let place = Location::Gcs(location.clone()).to_string();
    let url = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    let server = Server::new(place, url.as_deref(), &options.network)?;
    cloud::open(&server, location, options, Some(ADVICE), |factory| {
        builder
            .with_bucket_name(location.bucket())
            .with_client_options(ClientOptions::new())
            .with_retry(server.retries())
            .with_http_connector(factory)
            .build()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn the_server_of_the_environment_is_used_by_the_rules_of_all_servers() {
        let location = BucketLocation::new("bucket", "folder").unwrap();
        let open = |url: &str| {
            let builder = GoogleCloudStorageBuilder::new().with_bearer_token("token");
            let builder = builder.with_config(GoogleConfigKey::BaseUrl, url);
            open_with(builder, &location, &StorageOptions::default())
        };
        assert!(open("http://127.0.0.1:4443").unwrap().link.is_some());
        assert!(open("https://storage.example").is_ok());
        for url in ["http://storage.example", "nonsense"] {
            assert_eq!(open(url).unwrap_err().kind(), ErrorKind::Invalid, "{url}");
        }
    }
}
