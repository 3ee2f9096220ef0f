//! Objects in a container of Azure Blob Storage.
//!
//! [`open`] makes a store of `object_store` from a location and options. Invariant: the account, the
//! credentials and the server come from the environment only.

use std::env;

use object_store::{
    ClientOptions,
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
};

use super::{Backend, cloud, remote::Server};
use crate::{
    error::Result,
    location::{BucketLocation, Location},
    options::StorageOptions,
};

/// Says how to give credentials.
const ADVICE: &str = "set AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_KEY, or AZURE_CLIENT_ID, \
                      AZURE_CLIENT_SECRET and AZURE_TENANT_ID, or run `az login` and set \
                      AZURE_USE_AZURE_CLI=true";
/// The emulator's address, unless the environment sets another one.
const EMULATOR_URL: &str = "http://127.0.0.1:10000";

/// Opens a container. Sends no request.
pub(crate) fn open(location: &BucketLocation, options: &StorageOptions) -> Result<Backend> {
    open_with(MicrosoftAzureBuilder::from_env(), location, options)
}

fn open_with(
    builder: MicrosoftAzureBuilder,
    location: &BucketLocation,
    options: &StorageOptions,
) -> Result<Backend> {
    let place = Location::Azure(location.clone()).to_string();
    let is_emulator = uses_emulator(&builder);
    let url = match env::var("AZURITE_BLOB_STORAGE_URL") {
        Ok(url) if is_emulator => Some(url),
        Err(_) if is_emulator => Some(EMULATOR_URL.to_owned()),
        _ => builder.get_config_value(&AzureConfigKey::Endpoint),
    };
    let server = Server::new(place, url.as_deref(), &options.network)?;
    let account = builder.get_config_value(&AzureConfigKey::AccountName);
    if account.is_none_or(|name| name.is_empty()) && !is_emulator {
        return Err(server.refuse(
            "the account is not known: set AZURE_STORAGE_ACCOUNT_NAME to the name of the storage \
             account",
        ));
    }
    let advice = (!is_emulator).then_some(ADVICE);
    cloud::open(&server, location, options, advice, |factory| {
        builder
            .with_container_name(location.bucket())
            .with_client_options(ClientOptions::new())
            .with_retry(server.retries())
            .with_http_connector(factory)
            .build()
    })
}

/// Parses `AZURE_STORAGE_USE_EMULATOR` as the builder does.
fn uses_emulator(builder: &MicrosoftAzureBuilder) -> bool {
    let value = builder.get_config_value(&AzureConfigKey::UseEmulator);
    let value = value.unwrap_or_default().to_ascii_lowercase();
    matches!(&*value, "1" | "true" | "on" | "yes" | "y")
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::ErrorKind;

    fn open(settings: &[(AzureConfigKey, &str)]) -> Result<Backend> {
        let location = BucketLocation::new("container", "folder").unwrap();
        let mut builder = MicrosoftAzureBuilder::new();
        for (key, value) in settings {
            builder = builder.with_config(*key, *value);
        }
        open_with(builder, &location, &StorageOptions::default())
    }

    #[tokio::test]
    async fn the_account_has_to_be_named() {
        use AzureConfigKey as K;
        let error = open(&[(K::AccessKey, "a2V5")]).unwrap_err();
        let cause = error.source().unwrap().to_string();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(cause.contains("AZURE_STORAGE_ACCOUNT_NAME"), "{cause}");
        assert!(open(&[(K::AccountName, "account"), (K::AccessKey, "a2V5")]).is_ok());
        assert!(open(&[(K::UseEmulator, "Yes")]).is_ok());
    }

    #[tokio::test]
    async fn the_server_of_the_environment_is_used_by_the_rules_of_all_servers() {
        use AzureConfigKey as K;
        let at = |url| open(&[(K::AccountName, "a"), (K::Token, "t"), (K::Endpoint, url)]);
        assert!(at("http://127.0.0.1:10000/a").unwrap().link.is_some());
        assert!(at("https://a.blob.core.chinacloudapi.cn").is_ok());
        for url in ["http://blob.example", "nonsense"] {
            assert_eq!(at(url).unwrap_err().kind(), ErrorKind::Invalid, "{url}");
        }
    }
}
