//! The token that commands bring to a service that asks for one.

use crate::secrets::Secret;
use anyhow::anyhow;
use clap::Args;
use reqwest::RequestBuilder;
use std::convert::Infallible;
use std::path::PathBuf;

/// The service's token: from the environment or a file, since others see a command's arguments.
#[derive(Clone, Debug, Args)]
pub struct SignIn {
    /// The service's token; better in the environment, where other users do not see it
    #[arg(
        long,
        env = "TICKETGATE_TOKEN",
        hide_env_values = true,
        value_parser = secret,
        global = true
    )]
    token: Option<Secret>,
    /// The file that holds the service's token
    #[arg(long, env = "TICKETGATE_TOKEN_FILE", value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

impl SignIn {
    /// Where the token comes from, for people.
    pub const FROM: &str = "set TICKETGATE_TOKEN_FILE to the file that holds it, or TICKETGATE_TOKEN to the token itself";

    /// Is there one to bring?
    pub fn has_token(&self) -> bool {
        self.token.is_some() || self.token_file.is_some()
    }

    /// Puts the token into a request, if there is one.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn put_into(&self, request: RequestBuilder) -> anyhow::Result<RequestBuilder> {
        let from_file = || self.token_file.as_deref().map(Secret::from_file).transpose();
        let token = match &self.token {
            Some(token) => Some(token.clone()),
            None => from_file().map_err(|what| anyhow!(what))?,
        };
        Ok(match token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        })
    }
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(text.into())
}
