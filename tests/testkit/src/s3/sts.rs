//! The service that issues key pairs of roles.
//!
//! [`answer`] handles its requests, whose signature is not checked. Invariant: the key pair in the answer works from then on.

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, Response};
use jiff::Timestamp;
use url::form_urlencoded;

use super::access::{Access, ROLE_KEY, ROLE_SECRET, ROLE_TOKEN};
use super::answer::{error, xml};
use super::state::now;

/// Whether a request is one for this service.
pub(super) fn is_meant(request: &Parts) -> bool {
    request.method == Method::POST && request.uri.path() == "/"
}

/// Answers `AssumeRole` and similar requests, whose fields are in the body or in the query.
pub(super) fn answer(access: &Access, request: &Parts, body: &[u8]) -> Response<Bytes> {
    let query = request.uri.query().unwrap_or_default().as_bytes();
    let field = |name: &str| {
        let mut pairs = form_urlencoded::parse(body).chain(form_urlencoded::parse(query));
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let action = field("Action").unwrap_or_default();
    let actions = ["AssumeRole", "AssumeRoleWithWebIdentity"];
    if !actions.contains(&action.as_str()) {
        return error(400, "InvalidAction");
    }
    let Some(role) = field("RoleArn") else {
        return error(400, "MissingParameter");
    };
    let lifetime = access.assume(role, field("ExternalId"));
    let until = Timestamp::try_from(now() + lifetime).unwrap();
    xml(200, credentials(&action, until))
}

fn credentials(action: &str, until: Timestamp) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <Credentials>\
         <AccessKeyId>{ROLE_KEY}</AccessKeyId>\
         <SecretAccessKey>{ROLE_SECRET}</SecretAccessKey>\
         <SessionToken>{ROLE_TOKEN}</SessionToken>\
         <Expiration>{until:.0}</Expiration>\
         </Credentials>\
         </{action}Result>\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
    )
}
